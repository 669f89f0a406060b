"""A model asked: encoding, generation, likelihoods, hidden states, and their caches."""
