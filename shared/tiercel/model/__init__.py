"""The nouns of Tiercel: frozen values that every service and every adapter shares."""
