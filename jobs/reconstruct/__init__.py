"""Evidence from a VAE checkpoint: how well it gives a file's frames back, against camera footage through the same."""
