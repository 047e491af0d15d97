"""What every setting takes: declarations, checks, and the words for them."""
