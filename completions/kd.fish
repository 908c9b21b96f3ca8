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
complete -c kd -n "__fish_kd_needs_command" -f -a "cluster" -d 'Create, list, edit, stop, start and delete clusters'
complete -c kd -n "__fish_kd_needs_command" -f -a "clusters" -d 'Create, list, edit, stop, start and delete clusters'
complete -c kd -n "__fish_kd_needs_command" -f -a "node" -d 'List, add and remove the nodes of clusters'
complete -c kd -n "__fish_kd_needs_command" -f -a "nodes" -d 'List, add and remove the nodes of clusters'
complete -c kd -n "__fish_kd_needs_command" -f -a "kubeconfig" -d 'Print a cluster\'s kubeconfig or merge it into yours'
complete -c kd -n "__fish_kd_needs_command" -f -a "image" -d 'Load images into a cluster and list them'
complete -c kd -n "__fish_kd_needs_command" -f -a "images" -d 'Load images into a cluster and list them'
complete -c kd -n "__fish_kd_needs_command" -f -a "port-forward" -d 'Forward local ports to a pod'
complete -c kd -n "__fish_kd_needs_command" -f -a "node-image" -d 'Build and inspect the image that nodes are made of'
complete -c kd -n "__fish_kd_needs_command" -f -a "debug" -d 'Look into clusters'
complete -c kd -n "__fish_kd_needs_command" -f -a "completion" -d 'Print a completion script for a shell'
complete -c kd -n "__fish_kd_needs_command" -f -a "version" -d 'Print the version'
complete -c kd -n "__fish_kd_needs_command" -f -a "create" -d '`kind create cluster`'
complete -c kd -n "__fish_kd_needs_command" -f -a "delete" -d '`kind delete cluster`'
complete -c kd -n "__fish_kd_needs_command" -f -a "get" -d '`kind get clusters`'
complete -c kd -n "__fish_kd_needs_command" -f -a "load" -d '`kind load docker-image`'
complete -c kd -n "__fish_kd_needs_command" -f -a "export" -d '`kind export kubeconfig`'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "create" -d 'Create a cluster and make it the current context'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "delete" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "rm" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "del" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "edit" -d 'Change the ports of a cluster while it runs'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "list" -d 'List the clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "ls" -d 'List the clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "logs" -d 'Write a cluster\'s logs into a folder'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "start" -d 'Start stopped clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "stop" -d 'Stop clusters; everything in them is kept'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s n -l name -d 'The cluster\'s name, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s c -l config -d 'A file that describes the cluster, in kind\'s form or k3d\'s; `-` is standard input. Flags come before what it says' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s s -l servers -d 'How many servers; they hold the control plane and run pods too [1]' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s a -l agents -d 'How many agents; they only run pods [0]' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s i -l image -d 'A node image instead of the one that kd builds itself' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l timeout -d 'How long the cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l wait -d 'As kind and k3d take it; kd always waits. A duration is taken for --timeout when it is longer' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l api-port -d 'The API server\'s port on this machine, perhaps with --api-host before it [a free one if none is given]' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l api-host -d 'The name or address under which clients reach the API server' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s p -l port -d 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s v -l volume -d 'A folder of this machine in nodes, such as /data:/data:ro@agent:0' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l node-label -d 'A label of nodes, such as disk=ssd@agent:0' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l node-taint -d 'A taint of nodes, such as gpu=yes:NoSchedule@agent:0' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l host-alias -d 'A host that pods and nodes know by name, such as 192.0.2.7:db.example,db' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l disable -d 'A part that the cluster is to be without: ingress' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l subnet -d 'The address range of the cluster\'s Docker network, such as 172.28.0.0/16' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l ip-family -d 'The IP families of pods, services and nodes [ipv4]' -r -f -a "ipv4\t'IPv4 only'
ipv6\t'IPv6 only'
dual\t'Both, IPv4 first'"
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l pod-cidr -d 'The address range of pods; two of both families with a comma [10.244.0.0/16]' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l service-cidr -d 'The address range of services; two of both families with a comma [10.96.0.0/16]' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l non-masquerade-cidr -d 'A range outside of the cluster that pods reach with their own addresses' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l network-backend -d 'How packets get to other nodes\' pods' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l insecure-registry -d 'A registry (`host` or `host:port`) that nodes speak to without TLS' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l registry-ca -d 'A file with certificates of authorities that nodes trust for registries, PEM' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l registry-config -d 'Mirrors, credentials and certificates of registries, as k3s\' registries.yaml has them' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l registry-hosts -d 'The same as containerd has it: a folder with HOST/hosts.toml. One that is mounted with --volume DIR:/etc/containerd/certs.d may change while the cluster runs' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l registry-auth -d 'A registry for which nodes get your credentials of `docker login`; `all` is for all of them. They are copied now, also from credential helpers; whoever may inspect the nodes\' containers sees them' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l kubelet-arg -d 'A flag of the nodes\' kubelets, such as max-pods=200 or system-reserved=memory=1Gi' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l memory -d 'The memory that each node may use, such as 2g or 512Mi' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l cpus -d 'The cores that each node may use, such as 2 or 1.5' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l simulated-nodes -d 'Nodes that are only objects; pods there count as running, and nothing runs' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l scheduler-config -d 'A file that configures the scheduler (KubeSchedulerConfiguration)' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l audit-policy -d 'An audit policy (audit.k8s.io/v1): what the API server logs of requests, in /var/log/kubernetes/audit.log of the server\'s node' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l authentication-config -d 'An AuthenticationConfiguration: OIDC issuers whose tokens the API server takes' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l authorization-config -d 'An AuthorizationConfiguration: webhooks that decide beside RBAC' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l encryption-config -d 'An EncryptionConfiguration: what is encrypted in the store, and by which keys' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l kubeconfig-update -d 'As k3d takes it' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l switch-context -d 'As k3d takes it' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l kubeconfig -d 'The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l retain -l no-rollback -d 'Keep the nodes when the cluster does not become usable'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l no-lb -d 'As k3d takes it: kd makes a load balancer for its ports only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l disable-default-cni -d 'Leave the pod network to CNI plugins that are installed later'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l disable-kube-proxy -d 'Leave Services to a proxy that is installed later'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l disable-scheduler -d 'Leave pods to a scheduler of your own'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l encrypt-secrets -d 'Encrypt Secrets in the store, by a new key'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l no-kubeconfig-update -d 'Leave the kubeconfig alone'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -s c -l config -d 'A file that describes the cluster to delete, as for `kd cluster create`' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -s c -l config -d 'A file that describes the cluster to delete, as for `kd cluster create`' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -s c -l config -d 'A file that describes the cluster to delete, as for `kd cluster create`' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from edit" -l port-add -d 'A port of this machine that is to lead into the cluster, such as 8080:80@loadbalancer' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from edit" -l port-delete -d 'A port that is not to any more, such as 8080:80@loadbalancer' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from edit" -l timeout -d 'How long the load balancer may take to start' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from edit" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from edit" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from list" -l no-headers -d 'Leave the table\'s headers out'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from ls" -l no-headers -d 'Leave the table\'s headers out'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from logs" -s d -l directory -d 'The folder to write to [a new one if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -l timeout -d 'How long a cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -l wait -d 'As k3d takes it; kd always waits' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand cluster; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "create" -d 'Create a cluster and make it the current context'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "delete" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "rm" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "del" -d 'Delete clusters with everything that belongs to them'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "edit" -d 'Change the ports of a cluster while it runs'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "list" -d 'List the clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "ls" -d 'List the clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "logs" -d 'Write a cluster\'s logs into a folder'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "start" -d 'Start stopped clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and not __fish_seen_subcommand_from create delete rm del edit list ls logs start stop" -f -a "stop" -d 'Stop clusters; everything in them is kept'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s n -l name -d 'The cluster\'s name, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s c -l config -d 'A file that describes the cluster, in kind\'s form or k3d\'s; `-` is standard input. Flags come before what it says' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s s -l servers -d 'How many servers; they hold the control plane and run pods too [1]' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s a -l agents -d 'How many agents; they only run pods [0]' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s i -l image -d 'A node image instead of the one that kd builds itself' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l timeout -d 'How long the cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l wait -d 'As kind and k3d take it; kd always waits. A duration is taken for --timeout when it is longer' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l api-port -d 'The API server\'s port on this machine, perhaps with --api-host before it [a free one if none is given]' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l api-host -d 'The name or address under which clients reach the API server' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s p -l port -d 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s v -l volume -d 'A folder of this machine in nodes, such as /data:/data:ro@agent:0' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l node-label -d 'A label of nodes, such as disk=ssd@agent:0' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l node-taint -d 'A taint of nodes, such as gpu=yes:NoSchedule@agent:0' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l host-alias -d 'A host that pods and nodes know by name, such as 192.0.2.7:db.example,db' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l disable -d 'A part that the cluster is to be without: ingress' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l subnet -d 'The address range of the cluster\'s Docker network, such as 172.28.0.0/16' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l ip-family -d 'The IP families of pods, services and nodes [ipv4]' -r -f -a "ipv4\t'IPv4 only'
ipv6\t'IPv6 only'
dual\t'Both, IPv4 first'"
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l pod-cidr -d 'The address range of pods; two of both families with a comma [10.244.0.0/16]' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l service-cidr -d 'The address range of services; two of both families with a comma [10.96.0.0/16]' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l non-masquerade-cidr -d 'A range outside of the cluster that pods reach with their own addresses' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l network-backend -d 'How packets get to other nodes\' pods' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l insecure-registry -d 'A registry (`host` or `host:port`) that nodes speak to without TLS' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l registry-ca -d 'A file with certificates of authorities that nodes trust for registries, PEM' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l registry-config -d 'Mirrors, credentials and certificates of registries, as k3s\' registries.yaml has them' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l registry-hosts -d 'The same as containerd has it: a folder with HOST/hosts.toml. One that is mounted with --volume DIR:/etc/containerd/certs.d may change while the cluster runs' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l registry-auth -d 'A registry for which nodes get your credentials of `docker login`; `all` is for all of them. They are copied now, also from credential helpers; whoever may inspect the nodes\' containers sees them' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l kubelet-arg -d 'A flag of the nodes\' kubelets, such as max-pods=200 or system-reserved=memory=1Gi' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l memory -d 'The memory that each node may use, such as 2g or 512Mi' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l cpus -d 'The cores that each node may use, such as 2 or 1.5' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l simulated-nodes -d 'Nodes that are only objects; pods there count as running, and nothing runs' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l scheduler-config -d 'A file that configures the scheduler (KubeSchedulerConfiguration)' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l audit-policy -d 'An audit policy (audit.k8s.io/v1): what the API server logs of requests, in /var/log/kubernetes/audit.log of the server\'s node' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l authentication-config -d 'An AuthenticationConfiguration: OIDC issuers whose tokens the API server takes' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l authorization-config -d 'An AuthorizationConfiguration: webhooks that decide beside RBAC' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l encryption-config -d 'An EncryptionConfiguration: what is encrypted in the store, and by which keys' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l kubeconfig-update -d 'As k3d takes it' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l switch-context -d 'As k3d takes it' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l kubeconfig -d 'The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l retain -l no-rollback -d 'Keep the nodes when the cluster does not become usable'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l no-lb -d 'As k3d takes it: kd makes a load balancer for its ports only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l disable-default-cni -d 'Leave the pod network to CNI plugins that are installed later'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l disable-kube-proxy -d 'Leave Services to a proxy that is installed later'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l disable-scheduler -d 'Leave pods to a scheduler of your own'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l encrypt-secrets -d 'Encrypt Secrets in the store, by a new key'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l no-kubeconfig-update -d 'Leave the kubeconfig alone'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -s c -l config -d 'A file that describes the cluster to delete, as for `kd cluster create`' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -s c -l config -d 'A file that describes the cluster to delete, as for `kd cluster create`' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -s c -l config -d 'A file that describes the cluster to delete, as for `kd cluster create`' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -l kubeconfig -d 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from edit" -l port-add -d 'A port of this machine that is to lead into the cluster, such as 8080:80@loadbalancer' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from edit" -l port-delete -d 'A port that is not to any more, such as 8080:80@loadbalancer' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from edit" -l timeout -d 'How long the load balancer may take to start' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from edit" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from edit" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from list" -l no-headers -d 'Leave the table\'s headers out'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from ls" -l no-headers -d 'Leave the table\'s headers out'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from logs" -s d -l directory -d 'The folder to write to [a new one if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -l timeout -d 'How long a cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -l wait -d 'As k3d takes it; kd always waits' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from stop" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from stop" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand clusters; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "create" -d 'Add agents to a cluster that runs'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "add" -d 'Add agents to a cluster that runs'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "delete" -d 'Take agents out of their cluster'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "rm" -d 'Take agents out of their cluster'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "del" -d 'Take agents out of their cluster'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "list" -d 'List the nodes'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "ls" -d 'List the nodes'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "start" -d 'Start nodes that are stopped'
complete -c kd -n "__fish_kd_using_subcommand node; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "stop" -d 'Stop nodes; what is on them is kept'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -s c -l cluster -d 'The cluster to add to' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -l count -l replicas -d 'How many agents' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -l role -d 'As k3d takes it: only agents can be added' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -l node-label -d 'A label of the new nodes, such as disk=ssd' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -l node-taint -d 'A taint of the new nodes, such as gpu=yes:NoSchedule' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -l volume -d 'A folder of this machine in the new nodes, such as /data:/data:ro' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -l wait -d 'As k3d takes it; kd always waits' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -l timeout -d 'How long the nodes may take to become Ready' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -s c -l cluster -d 'The cluster to add to' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -l count -l replicas -d 'How many agents' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -l role -d 'As k3d takes it: only agents can be added' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -l node-label -d 'A label of the new nodes, such as disk=ssd' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -l node-taint -d 'A taint of the new nodes, such as gpu=yes:NoSchedule' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -l volume -d 'A folder of this machine in the new nodes, such as /data:/data:ro' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -l wait -d 'As k3d takes it; kd always waits' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -l timeout -d 'How long the nodes may take to become Ready' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from del" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from list" -s c -l cluster -d 'Only the nodes of this cluster' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from list" -l no-headers -d 'Leave the table\'s headers out'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from ls" -s c -l cluster -d 'Only the nodes of this cluster' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from ls" -l no-headers -d 'Leave the table\'s headers out'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from start" -l timeout -d 'How long a node may take to become Ready' -r
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand node; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "create" -d 'Add agents to a cluster that runs'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "add" -d 'Add agents to a cluster that runs'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "delete" -d 'Take agents out of their cluster'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "rm" -d 'Take agents out of their cluster'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "del" -d 'Take agents out of their cluster'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "list" -d 'List the nodes'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "ls" -d 'List the nodes'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "start" -d 'Start nodes that are stopped'
complete -c kd -n "__fish_kd_using_subcommand nodes; and not __fish_seen_subcommand_from create add delete rm del list ls start stop" -f -a "stop" -d 'Stop nodes; what is on them is kept'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -s c -l cluster -d 'The cluster to add to' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -l count -l replicas -d 'How many agents' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -l role -d 'As k3d takes it: only agents can be added' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -l node-label -d 'A label of the new nodes, such as disk=ssd' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -l node-taint -d 'A taint of the new nodes, such as gpu=yes:NoSchedule' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -l volume -d 'A folder of this machine in the new nodes, such as /data:/data:ro' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -l wait -d 'As k3d takes it; kd always waits' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -l timeout -d 'How long the nodes may take to become Ready' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -s c -l cluster -d 'The cluster to add to' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -l count -l replicas -d 'How many agents' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -l role -d 'As k3d takes it: only agents can be added' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -l node-label -d 'A label of the new nodes, such as disk=ssd' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -l node-taint -d 'A taint of the new nodes, such as gpu=yes:NoSchedule' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -l volume -d 'A folder of this machine in the new nodes, such as /data:/data:ro' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -l wait -d 'As k3d takes it; kd always waits' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -l timeout -d 'How long the nodes may take to become Ready' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from del" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from list" -s c -l cluster -d 'Only the nodes of this cluster' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from list" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from list" -l no-headers -d 'Leave the table\'s headers out'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s c -l cluster -d 'Only the nodes of this cluster' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from ls" -l no-headers -d 'Leave the table\'s headers out'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from start" -l timeout -d 'How long a node may take to become Ready' -r
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand nodes; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and not __fish_seen_subcommand_from get merge write" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and not __fish_seen_subcommand_from get merge write" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and not __fish_seen_subcommand_from get merge write" -f -a "get" -d 'Print a cluster\'s kubeconfig'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and not __fish_seen_subcommand_from get merge write" -f -a "merge" -d 'Merge clusters into your kubeconfig and print its path'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and not __fish_seen_subcommand_from get merge write" -f -a "write" -d 'Merge clusters into your kubeconfig and print its path'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from get" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from get" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from get" -l internal -d 'For clients in containers of the cluster\'s network'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from get" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s o -l kubeconfig -l output -d 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s s -l switch-context -d 'As k3d takes it' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s u -l update -d 'As k3d takes it; it is so anyway' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -l internal -d 'For clients in containers of the cluster\'s network'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s d -l kubeconfig-merge-default -d 'As k3d takes it; it is so anyway'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from merge" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -s o -l kubeconfig -l output -d 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -s s -l switch-context -d 'As k3d takes it' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -s u -l update -d 'As k3d takes it; it is so anyway' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -l internal -d 'For clients in containers of the cluster\'s network'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -s d -l kubeconfig-merge-default -d 'As k3d takes it; it is so anyway'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand kubeconfig; and __fish_seen_subcommand_from write" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import prune list ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import prune list ls" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import prune list ls" -f -a "load" -d 'Load images into every node of a cluster'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import prune list ls" -f -a "import" -d 'Load images into every node of a cluster'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import prune list ls" -f -a "prune" -d 'Remove layers on this host that no image of any cluster uses'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import prune list ls" -f -a "list" -d 'List the images of a cluster'
complete -c kd -n "__fish_kd_using_subcommand image; and not __fish_seen_subcommand_from load import prune list ls" -f -a "ls" -d 'List the images of a cluster'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from load" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from load" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from load" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from import" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from prune" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand image; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
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
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import prune list ls" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import prune list ls" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import prune list ls" -f -a "load" -d 'Load images into every node of a cluster'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import prune list ls" -f -a "import" -d 'Load images into every node of a cluster'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import prune list ls" -f -a "prune" -d 'Remove layers on this host that no image of any cluster uses'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import prune list ls" -f -a "list" -d 'List the images of a cluster'
complete -c kd -n "__fish_kd_using_subcommand images; and not __fish_seen_subcommand_from load import prune list ls" -f -a "ls" -d 'List the images of a cluster'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from load" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from load" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from load" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from import" -s c -l cluster -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from prune" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand images; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
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
complete -c kd -n "__fish_kd_using_subcommand debug; and not __fish_seen_subcommand_from proxy" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand debug; and not __fish_seen_subcommand_from proxy" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand debug; and not __fish_seen_subcommand_from proxy" -f -a "proxy" -d 'Show what a node\'s kernel does with packets to Services'
complete -c kd -n "__fish_kd_using_subcommand debug; and __fish_seen_subcommand_from proxy" -l node -d 'The node [the first server]' -r
complete -c kd -n "__fish_kd_using_subcommand debug; and __fish_seen_subcommand_from proxy" -s o -l output -d 'The form of the list' -r -f -a "table\t'Columns for people'
json\t'JSON for programs'
yaml\t'YAML'
name\t'Only the names, one a line'"
complete -c kd -n "__fish_kd_using_subcommand debug; and __fish_seen_subcommand_from proxy" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand debug; and __fish_seen_subcommand_from proxy" -s h -l help -d 'Print help (see more with \'--help\')'
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
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s c -l config -d 'A file that describes the cluster, in kind\'s form or k3d\'s; `-` is standard input. Flags come before what it says' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s s -l servers -d 'How many servers; they hold the control plane and run pods too [1]' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s a -l agents -d 'How many agents; they only run pods [0]' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s i -l image -d 'A node image instead of the one that kd builds itself' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l timeout -d 'How long the cluster may take to become usable' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l wait -d 'As kind and k3d take it; kd always waits. A duration is taken for --timeout when it is longer' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l api-port -d 'The API server\'s port on this machine, perhaps with --api-host before it [a free one if none is given]' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l api-host -d 'The name or address under which clients reach the API server' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s p -l port -d 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s v -l volume -d 'A folder of this machine in nodes, such as /data:/data:ro@agent:0' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l node-label -d 'A label of nodes, such as disk=ssd@agent:0' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l node-taint -d 'A taint of nodes, such as gpu=yes:NoSchedule@agent:0' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l host-alias -d 'A host that pods and nodes know by name, such as 192.0.2.7:db.example,db' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l disable -d 'A part that the cluster is to be without: ingress' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l subnet -d 'The address range of the cluster\'s Docker network, such as 172.28.0.0/16' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l ip-family -d 'The IP families of pods, services and nodes [ipv4]' -r -f -a "ipv4\t'IPv4 only'
ipv6\t'IPv6 only'
dual\t'Both, IPv4 first'"
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l pod-cidr -d 'The address range of pods; two of both families with a comma [10.244.0.0/16]' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l service-cidr -d 'The address range of services; two of both families with a comma [10.96.0.0/16]' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l non-masquerade-cidr -d 'A range outside of the cluster that pods reach with their own addresses' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l network-backend -d 'How packets get to other nodes\' pods' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l insecure-registry -d 'A registry (`host` or `host:port`) that nodes speak to without TLS' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l registry-ca -d 'A file with certificates of authorities that nodes trust for registries, PEM' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l registry-config -d 'Mirrors, credentials and certificates of registries, as k3s\' registries.yaml has them' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l registry-hosts -d 'The same as containerd has it: a folder with HOST/hosts.toml. One that is mounted with --volume DIR:/etc/containerd/certs.d may change while the cluster runs' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l registry-auth -d 'A registry for which nodes get your credentials of `docker login`; `all` is for all of them. They are copied now, also from credential helpers; whoever may inspect the nodes\' containers sees them' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l kubelet-arg -d 'A flag of the nodes\' kubelets, such as max-pods=200 or system-reserved=memory=1Gi' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l memory -d 'The memory that each node may use, such as 2g or 512Mi' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l cpus -d 'The cores that each node may use, such as 2 or 1.5' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l simulated-nodes -d 'Nodes that are only objects; pods there count as running, and nothing runs' -r
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l scheduler-config -d 'A file that configures the scheduler (KubeSchedulerConfiguration)' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l audit-policy -d 'An audit policy (audit.k8s.io/v1): what the API server logs of requests, in /var/log/kubernetes/audit.log of the server\'s node' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l authentication-config -d 'An AuthenticationConfiguration: OIDC issuers whose tokens the API server takes' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l authorization-config -d 'An AuthorizationConfiguration: webhooks that decide beside RBAC' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l encryption-config -d 'An EncryptionConfiguration: what is encrypted in the store, and by which keys' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l kubeconfig-update -d 'As k3d takes it' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l switch-context -d 'As k3d takes it' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l kubeconfig -d 'The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l retain -l no-rollback -d 'Keep the nodes when the cluster does not become usable'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l timings -d 'Print how long each phase took'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l no-lb -d 'As k3d takes it: kd makes a load balancer for its ports only'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l disable-default-cni -d 'Leave the pod network to CNI plugins that are installed later'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l disable-kube-proxy -d 'Leave Services to a proxy that is installed later'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l disable-scheduler -d 'Leave pods to a scheduler of your own'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l encrypt-secrets -d 'Encrypt Secrets in the store, by a new key'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l no-kubeconfig-update -d 'Leave the kubeconfig alone'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand create; and __fish_seen_subcommand_from cluster" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kd -n "__fish_kd_using_subcommand delete; and not __fish_seen_subcommand_from cluster" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand delete; and not __fish_seen_subcommand_from cluster" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand delete; and not __fish_seen_subcommand_from cluster" -f -a "cluster" -d 'Delete a cluster'
complete -c kd -n "__fish_kd_using_subcommand delete; and __fish_seen_subcommand_from cluster" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand delete; and __fish_seen_subcommand_from cluster" -s c -l config -d 'A file that describes the cluster to delete, as for `kd cluster create`' -r -F
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
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from kubeconfig" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand get; and __fish_seen_subcommand_from kubeconfig" -s a -l all -d 'All clusters'
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
complete -c kd -n "__fish_kd_using_subcommand export; and not __fish_seen_subcommand_from kubeconfig logs" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand export; and not __fish_seen_subcommand_from kubeconfig logs" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand export; and not __fish_seen_subcommand_from kubeconfig logs" -f -a "kubeconfig" -d 'Merge a cluster\'s kubeconfig into yours'
complete -c kd -n "__fish_kd_using_subcommand export; and not __fish_seen_subcommand_from kubeconfig logs" -f -a "logs" -d 'Write a cluster\'s logs into a folder'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s n -l name -d 'The name of a cluster, as kind takes it' -r
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s o -l kubeconfig -l output -d 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]' -r -F
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s s -l switch-context -d 'As k3d takes it' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s u -l update -d 'As k3d takes it; it is so anyway' -r -f -a "true\t''
false\t''"
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s a -l all -d 'All clusters'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -l no-switch-context -d 'Leave the current context alone'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -l internal -d 'For clients in containers of the cluster\'s network'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s d -l kubeconfig-merge-default -d 'As k3d takes it; it is so anyway'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from kubeconfig" -s h -l help -d 'Print help'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from logs" -s n -l name -d 'The cluster\'s name' -r
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Print errors and data only'
complete -c kd -n "__fish_kd_using_subcommand export; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help'
