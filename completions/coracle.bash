# bash completion for coracle

_coracle() {
    # Bash cuts words at = and :, where coracle's words go on: what has no space in between is put together again.
    local words=() rest=$COMP_LINE word i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 0)) && [[ -n $word && $rest == "$word"* ]]; then
            words[-1]+=$word
        elif ((i > 0)) && [[ -z $word && $rest != [[:space:]]* && ${COMP_WORDS[i - 1]} == [=:] ]]; then
            :
        else
            words+=("$word")
        fi
        rest=${rest#*"$word"}
    done

    local answer=()
    mapfile -t answer < <("${COMP_WORDS[0]/#\~/$HOME}" __complete bash -- "${words[@]:1}" 2>/dev/null)
    ((${#answer[@]})) || return
    local more=${answer[-1]}
    unset 'answer[-1]'

    # Only what follows the last = or : is replaced.
    local current=${COMP_WORDS[COMP_CWORD]} prefix
    [[ $current == [=:] ]] && current=
    prefix=${words[-1]%"$current"}
    COMPREPLY=("${answer[@]#"$prefix"}")

    case $more in
    :files) compopt -o default 2>/dev/null ;;
    :dirs) compopt -o dirnames 2>/dev/null ;;
    esac
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _coracle coracle
