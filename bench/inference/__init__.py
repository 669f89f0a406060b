"""Asking a model: encoding, generation, likelihoods, hidden states, and their caches."""
