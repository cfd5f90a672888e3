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

# What stands behind expect: files to check, a rule to remove, or the words of a new one.
__portctl_expect() {
        if [[ " ${COMP_WORDS[*]} " == *' --check '* ]]; then
                COMPREPLY=($(compgen -f -- "$cur"))
        elif [[ " ${COMP_WORDS[*]} " == *' --remove '* ]]; then
                local IFS=$'\n'
                COMPREPLY=($(portctl expect --list 2>/dev/null | sed 's/^[^ ]*: //' | grep -F -e "$cur"))
                [[ ${#COMPREPLY[@]} == 1 ]] && COMPREPLY=("'${COMPREPLY[0]}'")
        elif [[ $prev == unit ]]; then
                COMPREPLY=($(compgen -W "$(__portctl_values UNIT)" -- "$cur"))
        elif [[ $prev == name ]]; then
                COMPREPLY=($(compgen -W "$(__portctl_values PROCESS)" -- "$cur"))
        elif [[ $prev == user ]]; then
                COMPREPLY=($(compgen -u -- "$cur"))
        elif [[ $prev == exposure ]]; then
                COMPREPLY=($(compgen -W 'loopback address any' -- "$cur"))
        elif [[ $prev == executable ]]; then
                COMPREPLY=($(compgen -f -- "$cur"))
        else
                COMPREPLY=($(compgen -W 'tcp/ udp/ address= exposure= unit= executable= name= user= container= netns= from=' -- "$cur"))
                compopt -o nospace 2>/dev/null
        fi
}

_portctl() {
        local verbs='listeners connections inbound outbound refused history follow counts port status check expect'
        local common='-H --host= --socket= -h --help --version'
        local shown='--no-legend --no-pager -j --json='
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
        --config) COMPREPLY=($(compgen -d -- "$cur")); return ;;
        --since | -S | --until | -U | --new-since)
                COMPREPLY=($(compgen -W 'now today yesterday -1h -1d' -- "$cur")); return ;;
        --host | -H) COMPREPLY=($(compgen -A hostname -- "$cur")); return ;;
        --socket) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --peer | --lines | -n) return ;;
        esac

        if [[ $cur == -* ]]; then
                options=$common
                [[ $verb != expect ]] && options+=" $shown"
                case $verb in
                listeners) options+=" $sockets --unexpected --new-since= $times" ;;
                connections | inbound | outbound) options+=" $sockets --peer= --unexpected $times" ;;
                refused) options+=" $sockets --peer= $times" ;;
                history) options+=" $sockets --peer= --unexpected --new-since= --kind= $times" ;;
                follow) options+=" $sockets --peer= --unexpected --new-since= --kind= -n --lines= -f --follow" ;;
                counts) options+=" $sockets --peer= --unexpected --by= -S --since=" ;;
                port) options+=' -t --tcp -u --udp' ;;
                status) options+=' --verify' ;;
                check) options+=" $sockets --monitoring" ;;
                expect) options+=' --current --dry-run --remove --list --check --config=' ;;
                esac
                COMPREPLY=($(compgen -W "$options" -- "$cur"))
                [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
        elif [[ $verb == port ]]; then
                COMPREPLY=($(compgen -W "$(__portctl_values PORT)" -- "$cur"))
        elif [[ $verb == expect ]] && ((i < COMP_CWORD)); then
                __portctl_expect
        elif ((i >= COMP_CWORD)); then
                COMPREPLY=($(compgen -W "$verbs" -- "$cur"))
        fi
        return 0
}

complete -F _portctl portctl
