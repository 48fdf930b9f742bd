"""What can be learned: labels of texts, tags of words, places of answers, and the next or a hidden token."""
