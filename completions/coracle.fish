# fish completion for coracle

function __coracle_complete
    set -l words (commandline -opc)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -e words[1]
    set -l current (commandline -ct)
    set -l answer ($program __complete fish -- $words "$current" 2>/dev/null)
    test (count $answer) -gt 0; or return
    set -l more $answer[-1]
    set -e answer[-1]
    printf '%s\n' $answer
    switch $more
        case :files
            __fish_complete_path "$current"
        case :dirs
            __fish_complete_directories "$current"
    end
end

complete -c coracle -f -a '(__coracle_complete)'
