"""Training: SpeechBrain Brains for classifiers, decoders and L2I."""
