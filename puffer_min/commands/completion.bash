_puffer_min() {
    local i at=-1 current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == puffer_min && ${COMP_WORDS[i-1]} == -m ]] && at=$((i + 1)) && break
    done
    ((at < 0)) && return
    if ((COMP_CWORD == at)); then
        COMPREPLY=($(compgen -W "@COMMANDS@" -- "$current"))
        return
    fi
    local words=""
    case "${COMP_WORDS[at]}" in
@CASES@
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -o bashdefault -F _puffer_min python python3
