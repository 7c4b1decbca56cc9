"""The store: the only room that speaks SQL. Records of what people did, and nouns made of them."""
