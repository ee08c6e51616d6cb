"""Settings: every default once, beside the class it configures, composed here."""
