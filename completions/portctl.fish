# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of portctl for fish.

set -l verbs listeners connections inbound outbound refused history follow counts port status check expect

function __portctl_verb
        for word in (commandline -opc)[2..-1]
                if contains -- $word listeners connections inbound outbound refused history follow counts port status check expect
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
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a refused -d 'attempts of others on ports where nobody listens'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a history -d 'events of the past'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a follow -d 'events as they happen'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a counts -d totals
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a port -d 'what a port is, and who listens there'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a status -d 'how the record is being made'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a check -d 'does a rule expect all that listens'
complete -c portctl -n "not __fish_seen_subcommand_from $verbs" -a expect -d 'add a rule, or take one out'
complete -c portctl -n '__fish_seen_subcommand_from port' -a '(__portctl_values PORT)'

set -l streams history follow
set -l lists listeners connections inbound outbound refused history
set -l peers connections inbound outbound refused history follow counts
set -l judged listeners connections inbound outbound history follow counts
set -l sockets listeners check $peers
set -l shown port status $sockets

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
complete -c portctl -n "__portctl_is $judged" -l unexpected -d 'those that the rules do not expect'
complete -c portctl -n "__portctl_is listeners $streams" -l new-since -x -a 'today yesterday 1h 7d' -d 'listeners never seen before'
complete -c portctl -n '__portctl_is status' -l verify -d 'compare the record with the kernel'
complete -c portctl -n '__portctl_is check' -l monitoring -d 'one line for Nagios and the like'
complete -c portctl -n '__portctl_is expect' -l current -d 'rules for all that listens now'
complete -c portctl -n '__portctl_is expect' -l dry-run -d 'print what would be written'
complete -c portctl -n '__portctl_is expect' -l remove -d 'take the rule out'
complete -c portctl -n '__portctl_is expect' -l list -d 'show the rules'
complete -c portctl -n '__portctl_is expect' -l check -d 'look for mistakes in files'
complete -c portctl -n '__portctl_is expect' -l config -r -F -d 'where expected.d is'
complete -c portctl -n '__portctl_is expect; and __fish_contains_opt check' -F
complete -c portctl -n '__portctl_is expect; and __fish_contains_opt remove' -a '(portctl expect --list 2>/dev/null | string replace -r "^[^ ]*: " "")'
complete -c portctl -n "__portctl_is $streams" -l kind -x -a 'listen unlisten open close fail refuse lost start stop' -d events
complete -c portctl -n '__portctl_is counts' -l by -x -a 'category service port name unit peer user' -d 'what to count by'
complete -c portctl -n "__portctl_is $lists counts" -s S -l since -x -a 'now today yesterday -1h -1d' -d 'since then'
complete -c portctl -n "__portctl_is $lists" -s U -l until -x -a 'now today yesterday -1h -1d' -d 'until then'
complete -c portctl -n "__portctl_is $lists follow" -s n -l lines -x -d 'the last so many'
complete -c portctl -n "__portctl_is $lists follow" -s f -l follow -d 'show what happens, as it happens'
complete -c portctl -n "__portctl_is $lists" -s r -l reverse -d 'newest first'
complete -c portctl -n "__portctl_is $sockets" -l columns -x -a '(__portctl_columns)' -d columns
complete -c portctl -n "__portctl_is $shown" -l no-legend -d 'no header and no footer'
complete -c portctl -n "__portctl_is $shown" -l no-pager -d 'do not start a pager'
complete -c portctl -n "__portctl_is $shown" -s j -d 'same as --json=short'
complete -c portctl -n "__portctl_is $shown" -l json -x -a 'short pretty off' -d JSON
complete -c portctl -s H -l host -x -a '(__fish_print_hostnames)' -d 'ask portctl on that host, through ssh'
complete -c portctl -l socket -r -F -d 'where portwatchd answers'
complete -c portctl -s h -l help -d help
complete -c portctl -l version -d 'the version'
