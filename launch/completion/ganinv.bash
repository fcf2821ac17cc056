# Completion of ganinv for bash: source <(.venv/bin/ganinv completion bash)
_ganinv() {
    local line=${COMP_LINE:0:COMP_POINT} word prefix IFS=$'\n'
    word=${line##*[[:space:]]}
    # The command as it was typed, so that every checkout completes its own options.
    COMPREPLY=($("${COMP_WORDS[0]/#\~\//$HOME/}" completion candidates "$line" 2>/dev/null))
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
        prefix=${word%"${word##*=}"} # bash replaces what follows the last = alone
        COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    fi
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null # the value follows
    fi
}
# Where nothing is offered, bash completes names of files.
complete -o default -F _ganinv ganinv
