"""The shop's catalogue: what may be said of products, and what is true of each at the moment."""
