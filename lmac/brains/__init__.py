"""SpeechBrain Brains that train: a classifier, and the decoder of L-MAC."""
