"""Keras layers of our own, registered so that saved models find them."""
