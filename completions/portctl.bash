# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of portctl for bash; needs nothing but bash.

# What a column of the listeners says, each value once.
__portctl_values() {
        portctl listeners --no-legend --no-pager --columns="$1" 2>/dev/null | sort -u | grep -vx -- -
}

__portctl_columns() {
        portctl "$1" --columns=help 2>/dev/null | cut -d' ' -f1
}

# The last one of a list with commas is completed, and those before it stay.
__portctl_list() {
        local cur=$1 before=
        shift
        if [[ $cur == *,* ]]; then
                before=${cur%,*},
                cur=${cur##*,}
        fi
        COMPREPLY=($(compgen -P "$before" -W "$*" -- "$cur"))
        compopt -o nospace 2>/dev/null
}

_portctl() {
        local verbs='listeners connections inbound outbound history follow counts port status'
        local common='--no-legend --no-pager -j --json= -H --host= --socket= -h --help --version'
        local sockets='-t --tcp -u --udp -4 --ipv4 -6 --ipv6 --port= --process= --unit= --user= --container= --netns= --category= --columns='
        local times='-S --since= -U --until= -n --lines= -f --follow -r --reverse'
        local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
        local verb=listeners word i options

        COMPREPLY=()
        for ((i = 1; i < COMP_CWORD; i++)); do
                word=${COMP_WORDS[i]}
                if [[ $word != -* && " $verbs " == *" $word "* ]]; then
                        verb=$word
                        break
                fi
        done

        # Where "=" breaks words: the value is a word of its own, behind it or the sign itself.
        if [[ $cur == '=' ]]; then
                cur=
        elif [[ $prev == '=' ]] && ((COMP_CWORD > 1)); then
                prev=${COMP_WORDS[COMP_CWORD-2]}
        elif [[ $cur == --*=* ]]; then
                prev=${cur%%=*}
                cur=${cur#*=}
        fi

        case $prev in
        --json) COMPREPLY=($(compgen -W 'short pretty off' -- "$cur")); return ;;
        --by) COMPREPLY=($(compgen -W 'category service port name unit peer user' -- "$cur")); return ;;
        --category) COMPREPLY=($(compgen -W 'system user dynamic' -- "$cur")); return ;;
        --kind) __portctl_list "$cur" listen unlisten open close fail refuse lost start stop; return ;;
        --columns) __portctl_list "$cur" help $(__portctl_columns "$verb"); return ;;
        --port) __portctl_list "$cur" $(__portctl_values PORT); return ;;
        --process) COMPREPLY=($(compgen -W "$(__portctl_values PROCESS)" -- "$cur")); return ;;
        --unit) COMPREPLY=($(compgen -W "$(__portctl_values UNIT)" -- "$cur")); return ;;
        --container) COMPREPLY=($(compgen -W "$(__portctl_values CONTAINER)" -- "$cur")); return ;;
        --user) COMPREPLY=($(compgen -u -- "$cur")); return ;;
        --netns) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --since | -S | --until | -U)
                COMPREPLY=($(compgen -W 'now today yesterday -1h -1d' -- "$cur")); return ;;
        --host | -H) COMPREPLY=($(compgen -A hostname -- "$cur")); return ;;
        --socket) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --peer | --lines | -n) return ;;
        esac

        if [[ $cur == -* ]]; then
                options=$common
                case $verb in
                listeners) options+=" $sockets $times" ;;
                connections | inbound | outbound) options+=" $sockets --peer= $times" ;;
                history) options+=" $sockets --peer= --kind= $times" ;;
                follow) options+=" $sockets --peer= --kind= -n --lines= -f --follow" ;;
                counts) options+=" $sockets --peer= --by= -S --since=" ;;
                port) options+=' -t --tcp -u --udp' ;;
                esac
                COMPREPLY=($(compgen -W "$options" -- "$cur"))
                [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
        elif [[ $verb == port ]]; then
                COMPREPLY=($(compgen -W "$(__portctl_values PORT)" -- "$cur"))
        elif ((i >= COMP_CWORD)); then
                COMPREPLY=($(compgen -W "$verbs" -- "$cur"))
        fi
        return 0
}

complete -F _portctl portctl
