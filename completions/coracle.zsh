#compdef coracle
# zsh completion for coracle

_coracle() {
    local -a answer values displays
    local line more
    answer=("${(@f)$(${~words[1]} __complete zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    more=$answer[-1]
    for line in "${(@)answer[1,-2]}"; do
        values+=("${line%%$'\t'*}")
        displays+=("${${line%$'\t'}/$'\t'/  -- }")
    done
    (( $#values )) && compadd -l -d displays -- "${(@)values}"
    case $more in
    :files) _files ;;
    :dirs) _files -/ ;;
    esac
}

if [[ $funcstack[1] == _coracle ]]; then
    _coracle "$@"
else
    compdef _coracle coracle
fi
