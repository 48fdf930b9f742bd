"""The way of a message: publish, preprocess, read; with the settings, tools and command line around it."""
