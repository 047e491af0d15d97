"""The method: front end, domains, the explained classifier, decoder, losses, scoring."""
