# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of portctl for fish.

set -l verbs listeners connections inbound outbound history follow counts port status

function __portctl_verb
        for word in (commandline -opc)[2..-1]
                if contains -- $word listeners connections inbound outbound history follow counts port status
                        echo $word
                        return
                end
        end
        echo listeners
end

# Is the verb, listeners if there is none yet, one of these?
function __portctl_is
        contains -- (__portctl_verb) $argv
end

# What a column of the listeners says, each value once.
function __portctl_values
        portctl listeners --no-legend --no-pager --columns=$argv[1] 2>/dev/null | sort -u | string match -v -- -
end

function __portctl_columns
        portctl (__portctl_verb) --columns=help 2>/dev/null | string replace -r ' +' \t
end

complete -c portctl -f
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a listeners -d 'who listens now'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a connections -d 'connections open now'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a inbound -d 'connections accepted here, open and ended'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a outbound -d 'connections started here, open and ended'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a history -d 'events of the past'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a follow -d 'events as they happen'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a counts -d totals
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a port -d 'what a port is, and who listens there'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a status -d 'how the record is being made'
complete -c portctl -n '__fish_seen_subcommand_from port' -a '(__portctl_values PORT)'

set -l streams history follow
set -l lists listeners connections inbound outbound history
set -l peers connections inbound outbound history follow counts
set -l sockets listeners $peers

complete -c portctl -n "__portctl_is $sockets port" -s t -l tcp -d 'TCP alone'
complete -c portctl -n "__portctl_is $sockets port" -s u -l udp -d 'UDP alone'
complete -c portctl -n "__portctl_is $sockets" -s 4 -l ipv4 -d 'IPv4 alone'
complete -c portctl -n "__portctl_is $sockets" -s 6 -l ipv6 -d 'IPv6 alone'
complete -c portctl -n "__portctl_is $sockets" -l port -x -a '(__portctl_values PORT)' -d 'service ports'
complete -c portctl -n "__portctl_is $peers" -l peer -x -d 'the other side: an address or a network'
complete -c portctl -n "__portctl_is $sockets" -l process -x -a '(__portctl_values PROCESS)' -d 'owned by this process'
complete -c portctl -n "__portctl_is $sockets" -l unit -x -a '(__portctl_values UNIT)' -d 'owned by this systemd unit'
complete -c portctl -n "__portctl_is $sockets" -l user -x -a '(__fish_complete_users)' -d 'owned by this user'
complete -c portctl -n "__portctl_is $sockets" -l container -x -a '(__portctl_values CONTAINER)' -d 'owned by this container'
complete -c portctl -n "__portctl_is $sockets" -l netns -r -F -d 'in this network namespace'
complete -c portctl -n "__portctl_is $sockets" -l category -x -a 'system user dynamic' -d 'category of the service port'
complete -c portctl -n "__portctl_is $streams" -l kind -x -a 'listen unlisten open close fail refuse lost start stop' -d events
complete -c portctl -n '__portctl_is counts' -l by -x -a 'category service port name unit peer user' -d 'what to count by'
complete -c portctl -n "__portctl_is $lists counts" -s S -l since -x -a 'now today yesterday -1h -1d' -d 'since then'
complete -c portctl -n "__portctl_is $lists" -s U -l until -x -a 'now today yesterday -1h -1d' -d 'until then'
complete -c portctl -n "__portctl_is $lists follow" -s n -l lines -x -d 'the last so many'
complete -c portctl -n "__portctl_is $lists follow" -s f -l follow -d 'show what happens, as it happens'
complete -c portctl -n "__portctl_is $lists" -s r -l reverse -d 'newest first'
complete -c portctl -n "__portctl_is $sockets" -l columns -x -a '(__portctl_columns)' -d columns
complete -c portctl -l no-legend -d 'no header and no footer'
complete -c portctl -l no-pager -d 'do not start a pager'
complete -c portctl -s j -d 'same as --json=short'
complete -c portctl -l json -x -a 'short pretty off' -d JSON
complete -c portctl -s H -l host -x -a '(__fish_print_hostnames)' -d 'ask portctl on that host, through ssh'
complete -c portctl -l socket -r -F -d 'where portwatchd answers'
complete -c portctl -s h -l help -d help
complete -c portctl -l version -d 'the version'
