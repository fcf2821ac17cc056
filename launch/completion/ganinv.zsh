#compdef ganinv
# Completion of ganinv for zsh, after compinit: source <(.venv/bin/ganinv completion zsh)
_ganinv() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    local -a found keys complete
    # The command as it was typed, so that every checkout completes its own options.
    found=("${(@f)$("${words[1]/#\~\//$HOME/}" completion candidates "$line" 2>/dev/null)}")
    keys=(${(M)found:#*=})
    complete=(${found:#*=})
    if ((!${#keys} && !${#complete})); then
        compset -P '*='
        _files
        return
    fi
    ((!${#complete})) || compadd -- $complete
    ((!${#keys})) || compadd -S '' -- $keys # the value follows
}
compdef _ganinv ganinv
