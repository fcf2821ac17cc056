"""Where the time and memory of training steps go, beside what this machine could do at best."""
