# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kd_global_optspecs
    string join \n q/quiet h/help V/version
end

function __fish_kd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kd_using_subcommand
    set -l cmd (__fish_kd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kd -n "__fish_kd_needs_command" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_needs_command" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_needs_command" -s V -l version -d 'Print version'
complete -c kd -n "__fish_kd_needs_command" -f -a "cluster" -d 'Create, list, stop, start and delete clusters'
complete -c kd -n "__fish_kd_needs_command" -f -a "clusters" -d 'Create, list, stop, start and delete clusters'
complete -c kd -n "__fish_kd_needs_command" -f -a "node" -d 'Look at the nodes of clusters'
complete -c kd -n "__fish_kd_needs_command" -f -a "nodes" -d 'Look at the nodes of clusters'
complete -c kd -n "__fish_kd_needs_command" -f -a "kubeconfig" -d 'Print a cluster\'s kubeconfig or merge it into yours'
complete -c kd -n "__fish_kd_needs_command" -f -a "image" -d 'Load images into a cluster and list them'
complete -c kd -n "__fish_kd_needs_command" -f -a "images" -d 'Load images into a cluster and list them'
complete -c kd -n "__fish_kd_needs_command" -f -a "port-forward" -d 'Forward local ports to a pod'
complete -c kd -n "__fish_kd_needs_command" -f -a "node-image" -d 'Build and inspect the image that nodes are made of'
complete -c kd -n "__fish_kd_needs_command" -f -a "completion" -d 'Print a completion script for a shell'
complete -c kd -n "__fish_kd_needs_command" -f -a "version" -d 'Print the version'
complete -c kd -n "__fish_kd_needs_command" -f -a "create" -d '`kind create cluster`'
complete -c kd -n "__fish_kd_needs_command" -f -a "delete" -d '`kind delete cluster`'
complete -c kd -n "__fish_kd_needs_command" -f -a "get" -d '`kind get clusters`'
complete -c kd -n "__fish_kd_needs_command" -f -a "load" -d '`kind load docker-image`'
complete -c kd -n "__fish_kd_needs_command" -f -a "export" -d '`kind export kubeconfig`'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "create" -d 'Create a cluster and make it the current context'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "delete" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "rm" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "del" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "list" -d 'List the clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "ls" -d 'List the clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "start" -d 'Start stopped clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "stop" -d 'Stop clusters; everything in them is kept'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s n -l name -d 'The cluster\'s name, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s s -l servers -d 'How many servers; they hold the control plane and run pods too' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s a -l agents -d 'How many agents; they only run pods' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s i -l image -d 'A node image instead of the one that kd builds itself' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l timeout -d 'How long the cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l wait -d 'As kind takes it; kd always waits. A value is taken for --timeout when it is longer' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l api-port -d 'The API server\'s port on this machine [a free one if none is given]' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l api-host -d 'The name or address under which clients reach the API server' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s p -l port -d 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l host-alias -d 'A host that pods and nodes know by name, such as 192.0.2.7:db.example,db' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l subnet -d 'The address range of the cluster\'s Docker network, such as 172.28.0.0/16' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l insecure-registry -d 'A registry (`host` or `host:port`) that nodes speak to without TLS' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l registry-ca -d 'A file with certificates of authorities that nodes trust for registries, PEM' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l kubeconfig -d 'The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l retain -d 'Keep the nodes when the cluster does not become usable'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l no-kubeconfig-update -d 'Leave the kubeconfig alone'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l kubeconfig-update
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l switch-context
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -l timeout -d 'How long a cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "create" -d 'Create a cluster and make it the current context'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "delete" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "rm" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "del" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "list" -d 'List the clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "ls" -d 'List the clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "start" -d 'Start stopped clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del list ls start stop" -f -a "stop" -d 'Stop clusters; everything in them is kept'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s n -l name -d 'The cluster\'s name, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s s -l servers -d 'How many servers; they hold the control plane and run pods too' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s a -l agents -d 'How many agents; they only run pods' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s i -l image -d 'A node image instead of the one that kd builds itself' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l timeout -d 'How long the cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l wait -d 'As kind takes it; kd always waits. A value is taken for --timeout when it is longer' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l api-port -d 'The API server\'s port on this machine [a free one if none is given]' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l api-host -d 'The name or address under which clients reach the API server' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s p -l port -d 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l host-alias -d 'A host that pods and nodes know by name, such as 192.0.2.7:db.example,db' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l subnet -d 'The address range of the cluster\'s Docker network, such as 172.28.0.0/16' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l insecure-registry -d 'A registry (`host` or `host:port`) that nodes speak to without TLS' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l registry-ca -d 'A file with certificates of authorities that nodes trust for registries, PEM' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l kubeconfig -d 'The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l retain -d 'Keep the nodes when the cluster does not become usable'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l no-kubeconfig-update -d 'Leave the kubeconfig alone'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l kubeconfig-update
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l switch-context
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -l timeout -d 'How long a cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from stop" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from stop" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from list ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from list ls" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from list ls" -f -a "list" -d 'List the nodes'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from list ls" -f -a "ls" -d 'List the nodes'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from list" -s c -l cluster -d 'Only the nodes of this cluster' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from ls" -s c -l cluster -d 'Only the nodes of this cluster' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from list ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from list ls" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from list ls" -f -a "list" -d 'List the nodes'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from list ls" -f -a "ls" -d 'List the nodes'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from list" -s c -l cluster -d 'Only the nodes of this cluster' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s c -l cluster -d 'Only the nodes of this cluster' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and not __fish_seen_subcommand_from get merge" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and not __fish_seen_subcommand_from get merge" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and not __fish_seen_subcommand_from get merge" -f -a "get" -d 'Print a cluster\'s kubeconfig'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and not __fish_seen_subcommand_from get merge" -f -a "merge" -d 'Merge clusters into your kubeconfig'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from get" -s n -l name -d 'The cluster\'s name, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from get" -l internal -d 'For clients in containers of the cluster\'s network'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from get" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -l kubeconfig -l output -d 'The file to write [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import list ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import list ls" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import list ls" -f -a "load" -d 'Load images into every node of a cluster'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import list ls" -f -a "import" -d 'Load images into every node of a cluster'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import list ls" -f -a "list" -d 'List the images of a cluster'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import list ls" -f -a "ls" -d 'List the images of a cluster'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from load" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from load" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from load" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from import" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from list" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from ls" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import list ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import list ls" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import list ls" -f -a "load" -d 'Load images into every node of a cluster'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import list ls" -f -a "import" -d 'Load images into every node of a cluster'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import list ls" -f -a "list" -d 'List the images of a cluster'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import list ls" -f -a "ls" -d 'List the images of a cluster'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from load" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from load" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from load" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from import" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from list" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from ls" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand port-forward" -s n -l namespace -d 'The namespace [that of the context if none is given]' -r
complete -c kd -n "__fish_kd_using_subcommand port-forward" -l address -d 'Addresses to listen on; "localhost" is both loopback addresses' -r
complete -c kd -n "__fish_kd_using_subcommand port-forward" -l context -d 'A context of the kubeconfig' -r
complete -c kd -n "__fish_kd_using_subcommand port-forward" -s c -l cluster -d 'A cluster of kd, with or without an entry in the kubeconfig' -r
complete -c kd -n "__fish_kd_using_subcommand port-forward" -l kubeconfig -d 'The kubeconfig [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand port-forward" -l pod-running-timeout -d 'How long to wait for a pod that runs' -r
complete -c kd -n "__fish_kd_using_subcommand port-forward" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand port-forward" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node-image; and not __fish_seen_subcommand_from build inspect prune" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node-image; and not __fish_seen_subcommand_from build inspect prune" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node-image; and not __fish_seen_subcommand_from build inspect prune" -f -a "build" -d 'Build the image from this executable and load it into the engine'
complete -c kd -n "__fish_kd_using_subcommand node-image; and not __fish_seen_subcommand_from build inspect prune" -f -a "inspect" -d 'Print what the engine knows about the image'
complete -c kd -n "__fish_kd_using_subcommand node-image; and not __fish_seen_subcommand_from build inspect prune" -f -a "prune" -d 'Delete images of other versions of kd that no node uses'
complete -c kd -n "__fish_kd_using_subcommand node-image; and __fish_seen_subcommand_from build" -s t -l tag -d 'The image\'s name [one made of the content\'s hash if none is given]' -r
complete -c kd -n "__fish_kd_using_subcommand node-image; and __fish_seen_subcommand_from build" -s o -l output -d 'Write the image to an archive instead of loading it into the engine' -r -F
complete -c kd -n "__fish_kd_using_subcommand node-image; and __fish_seen_subcommand_from build" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node-image; and __fish_seen_subcommand_from build" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node-image; and __fish_seen_subcommand_from inspect" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node-image; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node-image; and __fish_seen_subcommand_from prune" -s a -l all -d 'Delete the image of this executable, too'
complete -c kd -n "__fish_kd_using_subcommand node-image; and __fish_seen_subcommand_from prune" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node-image; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand completion" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand completion" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand version" -s o -l output -d 'The form of the output' -r -f -a "json\t''
yaml\t''"
complete -c kd -n "__fish_kd_using_subcommand version" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand version" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand create; and not __fish_seen_subcommand_from cluster" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand create; and not __fish_seen_subcommand_from cluster" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand create; and not __fish_seen_subcommand_from cluster" -f -a "cluster" -d 'Create a cluster'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s n -l name -d 'The cluster\'s name, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s s -l servers -d 'How many servers; they hold the control plane and run pods too' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s a -l agents -d 'How many agents; they only run pods' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s i -l image -d 'A node image instead of the one that kd builds itself' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l timeout -d 'How long the cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l wait -d 'As kind takes it; kd always waits. A value is taken for --timeout when it is longer' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l api-port -d 'The API server\'s port on this machine [a free one if none is given]' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l api-host -d 'The name or address under which clients reach the API server' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s p -l port -d 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l host-alias -d 'A host that pods and nodes know by name, such as 192.0.2.7:db.example,db' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l subnet -d 'The address range of the cluster\'s Docker network, such as 172.28.0.0/16' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l insecure-registry -d 'A registry (`host` or `host:port`) that nodes speak to without TLS' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l registry-ca -d 'A file with certificates of authorities that nodes trust for registries, PEM' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l kubeconfig -d 'The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l retain -d 'Keep the nodes when the cluster does not become usable'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l no-kubeconfig-update -d 'Leave the kubeconfig alone'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l kubeconfig-update
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l switch-context
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand delete; and not __fish_seen_subcommand_from cluster" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand delete; and not __fish_seen_subcommand_from cluster" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand delete; and not __fish_seen_subcommand_from cluster" -f -a "cluster" -d 'Delete a cluster'
complete -c kd -n "__fish_kd_using_subcommand delete; and __fish_seen_subcommand_from cluster" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand delete; and __fish_seen_subcommand_from cluster" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand delete; and __fish_seen_subcommand_from cluster" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand delete; and __fish_seen_subcommand_from cluster" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand delete; and __fish_seen_subcommand_from cluster" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand get; and not __fish_seen_subcommand_from clusters nodes kubeconfig" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand get; and not __fish_seen_subcommand_from clusters nodes kubeconfig" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand get; and not __fish_seen_subcommand_from clusters nodes kubeconfig" -f -a "clusters" -d 'List clusters by name'
complete -c kd -n "__fish_kd_using_subcommand get; and not __fish_seen_subcommand_from clusters nodes kubeconfig" -f -a "nodes" -d 'List the nodes of a cluster by name'
complete -c kd -n "__fish_kd_using_subcommand get; and not __fish_seen_subcommand_from clusters nodes kubeconfig" -f -a "kubeconfig" -d 'Print a cluster\'s kubeconfig'
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from clusters" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from clusters" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from nodes" -s n -l name -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from nodes" -s A -l all-clusters -d 'The nodes of all clusters'
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from nodes" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from nodes" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from kubeconfig" -s n -l name -d 'The cluster\'s name, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from kubeconfig" -l internal -d 'For clients in containers of the cluster\'s network'
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from kubeconfig" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from kubeconfig" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand load; and not __fish_seen_subcommand_from docker-image image-archive" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand load; and not __fish_seen_subcommand_from docker-image image-archive" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand load; and not __fish_seen_subcommand_from docker-image image-archive" -f -a "docker-image" -d 'Load images of the local Docker engine'
complete -c kd -n "__fish_kd_using_subcommand load; and not __fish_seen_subcommand_from docker-image image-archive" -f -a "image-archive" -d 'Load images from archives'
complete -c kd -n "__fish_kd_using_subcommand load; and __fish_seen_subcommand_from docker-image" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand load; and __fish_seen_subcommand_from docker-image" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand load; and __fish_seen_subcommand_from docker-image" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand load; and __fish_seen_subcommand_from image-archive" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand load; and __fish_seen_subcommand_from image-archive" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand load; and __fish_seen_subcommand_from image-archive" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand export; and not __fish_seen_subcommand_from kubeconfig" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand export; and not __fish_seen_subcommand_from kubeconfig" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand export; and not __fish_seen_subcommand_from kubeconfig" -f -a "kubeconfig" -d 'Merge a cluster\'s kubeconfig into yours'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -l kubeconfig -l output -d 'The file to write [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s h -l help -d 'Print help'
