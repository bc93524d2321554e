"""Pre-trained encoders of images and texts: CLIP, sentence encoders."""
