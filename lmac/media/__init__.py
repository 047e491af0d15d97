"""Files for people: audio, figures, pages."""
