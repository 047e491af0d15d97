"""Pages for people: the app, the gallery, figures for a paper, the listening test."""
