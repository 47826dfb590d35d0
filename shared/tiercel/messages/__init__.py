"""What processes say to each other: message types, the table of topics, and the codec."""
