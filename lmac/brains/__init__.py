"""SpeechBrain Brains: training a classifier, training L-MAC, evaluating explanations."""
