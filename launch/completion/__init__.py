"""Shell completion: scripts for bash and zsh, and the words that they offer."""
