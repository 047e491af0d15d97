"""Training: SpeechBrain Brains for classifiers, decoders, L2I and PIQ."""
