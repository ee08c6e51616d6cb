"""Finding out what works: bandits that learn by choosing, and how much new products are shown."""
