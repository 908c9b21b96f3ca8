
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'kd' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'kd'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'kd' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('cluster', 'cluster', [CompletionResultType]::ParameterValue, 'Create, list, edit, stop, start and delete clusters')
            [CompletionResult]::new('clusters', 'clusters', [CompletionResultType]::ParameterValue, 'Create, list, edit, stop, start and delete clusters')
            [CompletionResult]::new('node', 'node', [CompletionResultType]::ParameterValue, 'List, add and remove the nodes of clusters')
            [CompletionResult]::new('nodes', 'nodes', [CompletionResultType]::ParameterValue, 'List, add and remove the nodes of clusters')
            [CompletionResult]::new('kubeconfig', 'kubeconfig', [CompletionResultType]::ParameterValue, 'Print a cluster''s kubeconfig or merge it into yours')
            [CompletionResult]::new('image', 'image', [CompletionResultType]::ParameterValue, 'Load images into a cluster and list them')
            [CompletionResult]::new('images', 'images', [CompletionResultType]::ParameterValue, 'Load images into a cluster and list them')
            [CompletionResult]::new('port-forward', 'port-forward', [CompletionResultType]::ParameterValue, 'Forward local ports to a pod')
            [CompletionResult]::new('node-image', 'node-image', [CompletionResultType]::ParameterValue, 'Build and inspect the image that nodes are made of')
            [CompletionResult]::new('debug', 'debug', [CompletionResultType]::ParameterValue, 'Look into clusters')
            [CompletionResult]::new('completion', 'completion', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('version', 'version', [CompletionResultType]::ParameterValue, 'Print the version')
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, '`kind create cluster`')
            [CompletionResult]::new('delete', 'delete', [CompletionResultType]::ParameterValue, '`kind delete cluster`')
            [CompletionResult]::new('get', 'get', [CompletionResultType]::ParameterValue, '`kind get clusters`')
            [CompletionResult]::new('load', 'load', [CompletionResultType]::ParameterValue, '`kind load docker-image`')
            [CompletionResult]::new('export', 'export', [CompletionResultType]::ParameterValue, '`kind export kubeconfig`')
            break
        }
        'kd;cluster' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Create a cluster and make it the current context')
            [CompletionResult]::new('delete', 'delete', [CompletionResultType]::ParameterValue, 'Delete clusters with everything that belongs to them')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Delete clusters with everything that belongs to them')
            [CompletionResult]::new('del', 'del', [CompletionResultType]::ParameterValue, 'Delete clusters with everything that belongs to them')
            [CompletionResult]::new('edit', 'edit', [CompletionResultType]::ParameterValue, 'Change the ports of a cluster while it runs')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the clusters')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the clusters')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Write a cluster''s logs into a folder')
            [CompletionResult]::new('start', 'start', [CompletionResultType]::ParameterValue, 'Start stopped clusters')
            [CompletionResult]::new('stop', 'stop', [CompletionResultType]::ParameterValue, 'Stop clusters; everything in them is kept')
            break
        }
        'kd;clusters' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Create a cluster and make it the current context')
            [CompletionResult]::new('delete', 'delete', [CompletionResultType]::ParameterValue, 'Delete clusters with everything that belongs to them')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Delete clusters with everything that belongs to them')
            [CompletionResult]::new('del', 'del', [CompletionResultType]::ParameterValue, 'Delete clusters with everything that belongs to them')
            [CompletionResult]::new('edit', 'edit', [CompletionResultType]::ParameterValue, 'Change the ports of a cluster while it runs')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the clusters')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the clusters')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Write a cluster''s logs into a folder')
            [CompletionResult]::new('start', 'start', [CompletionResultType]::ParameterValue, 'Start stopped clusters')
            [CompletionResult]::new('stop', 'stop', [CompletionResultType]::ParameterValue, 'Stop clusters; everything in them is kept')
            break
        }
        'kd;cluster;create' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The cluster''s name, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The cluster''s name, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster, in kind''s form or k3d''s; `-` is standard input. Flags come before what it says')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster, in kind''s form or k3d''s; `-` is standard input. Flags come before what it says')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'How many servers; they hold the control plane and run pods too [1]')
            [CompletionResult]::new('--servers', '--servers', [CompletionResultType]::ParameterName, 'How many servers; they hold the control plane and run pods too [1]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'How many agents; they only run pods [0]')
            [CompletionResult]::new('--agents', '--agents', [CompletionResultType]::ParameterName, 'How many agents; they only run pods [0]')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'A node image instead of the one that kd builds itself')
            [CompletionResult]::new('--image', '--image', [CompletionResultType]::ParameterName, 'A node image instead of the one that kd builds itself')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the cluster may take to become usable')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'As kind and k3d take it; kd always waits. A duration is taken for --timeout when it is longer')
            [CompletionResult]::new('--api-port', '--api-port', [CompletionResultType]::ParameterName, 'The API server''s port on this machine, perhaps with --api-host before it [a free one if none is given]')
            [CompletionResult]::new('--api-host', '--api-host', [CompletionResultType]::ParameterName, 'The name or address under which clients reach the API server')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]')
            [CompletionResult]::new('--port', '--port', [CompletionResultType]::ParameterName, 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'A folder of this machine in nodes, such as /data:/data:ro@agent:0')
            [CompletionResult]::new('--volume', '--volume', [CompletionResultType]::ParameterName, 'A folder of this machine in nodes, such as /data:/data:ro@agent:0')
            [CompletionResult]::new('--node-label', '--node-label', [CompletionResultType]::ParameterName, 'A label of nodes, such as disk=ssd@agent:0')
            [CompletionResult]::new('--node-taint', '--node-taint', [CompletionResultType]::ParameterName, 'A taint of nodes, such as gpu=yes:NoSchedule@agent:0')
            [CompletionResult]::new('--host-alias', '--host-alias', [CompletionResultType]::ParameterName, 'A host that pods and nodes know by name, such as 192.0.2.7:db.example,db')
            [CompletionResult]::new('--disable', '--disable', [CompletionResultType]::ParameterName, 'A part that the cluster is to be without: ingress')
            [CompletionResult]::new('--subnet', '--subnet', [CompletionResultType]::ParameterName, 'The address range of the cluster''s Docker network, such as 172.28.0.0/16')
            [CompletionResult]::new('--ip-family', '--ip-family', [CompletionResultType]::ParameterName, 'The IP families of pods, services and nodes [ipv4]')
            [CompletionResult]::new('--pod-cidr', '--pod-cidr', [CompletionResultType]::ParameterName, 'The address range of pods; two of both families with a comma [10.244.0.0/16]')
            [CompletionResult]::new('--service-cidr', '--service-cidr', [CompletionResultType]::ParameterName, 'The address range of services; two of both families with a comma [10.96.0.0/16]')
            [CompletionResult]::new('--non-masquerade-cidr', '--non-masquerade-cidr', [CompletionResultType]::ParameterName, 'A range outside of the cluster that pods reach with their own addresses')
            [CompletionResult]::new('--network-backend', '--network-backend', [CompletionResultType]::ParameterName, 'How packets get to other nodes'' pods')
            [CompletionResult]::new('--insecure-registry', '--insecure-registry', [CompletionResultType]::ParameterName, 'A registry (`host` or `host:port`) that nodes speak to without TLS')
            [CompletionResult]::new('--registry-ca', '--registry-ca', [CompletionResultType]::ParameterName, 'A file with certificates of authorities that nodes trust for registries, PEM')
            [CompletionResult]::new('--registry-config', '--registry-config', [CompletionResultType]::ParameterName, 'Mirrors, credentials and certificates of registries, as k3s'' registries.yaml has them')
            [CompletionResult]::new('--registry-hosts', '--registry-hosts', [CompletionResultType]::ParameterName, 'The same as containerd has it: a folder with HOST/hosts.toml. One that is mounted with --volume DIR:/etc/containerd/certs.d may change while the cluster runs')
            [CompletionResult]::new('--registry-auth', '--registry-auth', [CompletionResultType]::ParameterName, 'A registry for which nodes get your credentials of `docker login`; `all` is for all of them. They are copied now, also from credential helpers; whoever may inspect the nodes'' containers sees them')
            [CompletionResult]::new('--kubelet-arg', '--kubelet-arg', [CompletionResultType]::ParameterName, 'A flag of the nodes'' kubelets, such as max-pods=200 or system-reserved=memory=1Gi')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'The memory that each node may use, such as 2g or 512Mi')
            [CompletionResult]::new('--cpus', '--cpus', [CompletionResultType]::ParameterName, 'The cores that each node may use, such as 2 or 1.5')
            [CompletionResult]::new('--simulated-nodes', '--simulated-nodes', [CompletionResultType]::ParameterName, 'Nodes that are only objects; pods there count as running, and nothing runs')
            [CompletionResult]::new('--scheduler-config', '--scheduler-config', [CompletionResultType]::ParameterName, 'A file that configures the scheduler (KubeSchedulerConfiguration)')
            [CompletionResult]::new('--audit-policy', '--audit-policy', [CompletionResultType]::ParameterName, 'An audit policy (audit.k8s.io/v1): what the API server logs of requests, in /var/log/kubernetes/audit.log of the server''s node')
            [CompletionResult]::new('--authentication-config', '--authentication-config', [CompletionResultType]::ParameterName, 'An AuthenticationConfiguration: OIDC issuers whose tokens the API server takes')
            [CompletionResult]::new('--authorization-config', '--authorization-config', [CompletionResultType]::ParameterName, 'An AuthorizationConfiguration: webhooks that decide beside RBAC')
            [CompletionResult]::new('--encryption-config', '--encryption-config', [CompletionResultType]::ParameterName, 'An EncryptionConfiguration: what is encrypted in the store, and by which keys')
            [CompletionResult]::new('--kubeconfig-update', '--kubeconfig-update', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('--switch-context', '--switch-context', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--retain', '--retain', [CompletionResultType]::ParameterName, 'Keep the nodes when the cluster does not become usable')
            [CompletionResult]::new('--no-rollback', '--no-rollback', [CompletionResultType]::ParameterName, 'Keep the nodes when the cluster does not become usable')
            [CompletionResult]::new('--timings', '--timings', [CompletionResultType]::ParameterName, 'Print how long each phase took')
            [CompletionResult]::new('--no-lb', '--no-lb', [CompletionResultType]::ParameterName, 'As k3d takes it: kd makes a load balancer for its ports only')
            [CompletionResult]::new('--disable-default-cni', '--disable-default-cni', [CompletionResultType]::ParameterName, 'Leave the pod network to CNI plugins that are installed later')
            [CompletionResult]::new('--disable-kube-proxy', '--disable-kube-proxy', [CompletionResultType]::ParameterName, 'Leave Services to a proxy that is installed later')
            [CompletionResult]::new('--disable-scheduler', '--disable-scheduler', [CompletionResultType]::ParameterName, 'Leave pods to a scheduler of your own')
            [CompletionResult]::new('--encrypt-secrets', '--encrypt-secrets', [CompletionResultType]::ParameterName, 'Encrypt Secrets in the store, by a new key')
            [CompletionResult]::new('--no-kubeconfig-update', '--no-kubeconfig-update', [CompletionResultType]::ParameterName, 'Leave the kubeconfig alone')
            [CompletionResult]::new('--no-switch-context', '--no-switch-context', [CompletionResultType]::ParameterName, 'Leave the current context alone')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;clusters;create' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The cluster''s name, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The cluster''s name, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster, in kind''s form or k3d''s; `-` is standard input. Flags come before what it says')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster, in kind''s form or k3d''s; `-` is standard input. Flags come before what it says')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'How many servers; they hold the control plane and run pods too [1]')
            [CompletionResult]::new('--servers', '--servers', [CompletionResultType]::ParameterName, 'How many servers; they hold the control plane and run pods too [1]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'How many agents; they only run pods [0]')
            [CompletionResult]::new('--agents', '--agents', [CompletionResultType]::ParameterName, 'How many agents; they only run pods [0]')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'A node image instead of the one that kd builds itself')
            [CompletionResult]::new('--image', '--image', [CompletionResultType]::ParameterName, 'A node image instead of the one that kd builds itself')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the cluster may take to become usable')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'As kind and k3d take it; kd always waits. A duration is taken for --timeout when it is longer')
            [CompletionResult]::new('--api-port', '--api-port', [CompletionResultType]::ParameterName, 'The API server''s port on this machine, perhaps with --api-host before it [a free one if none is given]')
            [CompletionResult]::new('--api-host', '--api-host', [CompletionResultType]::ParameterName, 'The name or address under which clients reach the API server')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]')
            [CompletionResult]::new('--port', '--port', [CompletionResultType]::ParameterName, 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'A folder of this machine in nodes, such as /data:/data:ro@agent:0')
            [CompletionResult]::new('--volume', '--volume', [CompletionResultType]::ParameterName, 'A folder of this machine in nodes, such as /data:/data:ro@agent:0')
            [CompletionResult]::new('--node-label', '--node-label', [CompletionResultType]::ParameterName, 'A label of nodes, such as disk=ssd@agent:0')
            [CompletionResult]::new('--node-taint', '--node-taint', [CompletionResultType]::ParameterName, 'A taint of nodes, such as gpu=yes:NoSchedule@agent:0')
            [CompletionResult]::new('--host-alias', '--host-alias', [CompletionResultType]::ParameterName, 'A host that pods and nodes know by name, such as 192.0.2.7:db.example,db')
            [CompletionResult]::new('--disable', '--disable', [CompletionResultType]::ParameterName, 'A part that the cluster is to be without: ingress')
            [CompletionResult]::new('--subnet', '--subnet', [CompletionResultType]::ParameterName, 'The address range of the cluster''s Docker network, such as 172.28.0.0/16')
            [CompletionResult]::new('--ip-family', '--ip-family', [CompletionResultType]::ParameterName, 'The IP families of pods, services and nodes [ipv4]')
            [CompletionResult]::new('--pod-cidr', '--pod-cidr', [CompletionResultType]::ParameterName, 'The address range of pods; two of both families with a comma [10.244.0.0/16]')
            [CompletionResult]::new('--service-cidr', '--service-cidr', [CompletionResultType]::ParameterName, 'The address range of services; two of both families with a comma [10.96.0.0/16]')
            [CompletionResult]::new('--non-masquerade-cidr', '--non-masquerade-cidr', [CompletionResultType]::ParameterName, 'A range outside of the cluster that pods reach with their own addresses')
            [CompletionResult]::new('--network-backend', '--network-backend', [CompletionResultType]::ParameterName, 'How packets get to other nodes'' pods')
            [CompletionResult]::new('--insecure-registry', '--insecure-registry', [CompletionResultType]::ParameterName, 'A registry (`host` or `host:port`) that nodes speak to without TLS')
            [CompletionResult]::new('--registry-ca', '--registry-ca', [CompletionResultType]::ParameterName, 'A file with certificates of authorities that nodes trust for registries, PEM')
            [CompletionResult]::new('--registry-config', '--registry-config', [CompletionResultType]::ParameterName, 'Mirrors, credentials and certificates of registries, as k3s'' registries.yaml has them')
            [CompletionResult]::new('--registry-hosts', '--registry-hosts', [CompletionResultType]::ParameterName, 'The same as containerd has it: a folder with HOST/hosts.toml. One that is mounted with --volume DIR:/etc/containerd/certs.d may change while the cluster runs')
            [CompletionResult]::new('--registry-auth', '--registry-auth', [CompletionResultType]::ParameterName, 'A registry for which nodes get your credentials of `docker login`; `all` is for all of them. They are copied now, also from credential helpers; whoever may inspect the nodes'' containers sees them')
            [CompletionResult]::new('--kubelet-arg', '--kubelet-arg', [CompletionResultType]::ParameterName, 'A flag of the nodes'' kubelets, such as max-pods=200 or system-reserved=memory=1Gi')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'The memory that each node may use, such as 2g or 512Mi')
            [CompletionResult]::new('--cpus', '--cpus', [CompletionResultType]::ParameterName, 'The cores that each node may use, such as 2 or 1.5')
            [CompletionResult]::new('--simulated-nodes', '--simulated-nodes', [CompletionResultType]::ParameterName, 'Nodes that are only objects; pods there count as running, and nothing runs')
            [CompletionResult]::new('--scheduler-config', '--scheduler-config', [CompletionResultType]::ParameterName, 'A file that configures the scheduler (KubeSchedulerConfiguration)')
            [CompletionResult]::new('--audit-policy', '--audit-policy', [CompletionResultType]::ParameterName, 'An audit policy (audit.k8s.io/v1): what the API server logs of requests, in /var/log/kubernetes/audit.log of the server''s node')
            [CompletionResult]::new('--authentication-config', '--authentication-config', [CompletionResultType]::ParameterName, 'An AuthenticationConfiguration: OIDC issuers whose tokens the API server takes')
            [CompletionResult]::new('--authorization-config', '--authorization-config', [CompletionResultType]::ParameterName, 'An AuthorizationConfiguration: webhooks that decide beside RBAC')
            [CompletionResult]::new('--encryption-config', '--encryption-config', [CompletionResultType]::ParameterName, 'An EncryptionConfiguration: what is encrypted in the store, and by which keys')
            [CompletionResult]::new('--kubeconfig-update', '--kubeconfig-update', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('--switch-context', '--switch-context', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--retain', '--retain', [CompletionResultType]::ParameterName, 'Keep the nodes when the cluster does not become usable')
            [CompletionResult]::new('--no-rollback', '--no-rollback', [CompletionResultType]::ParameterName, 'Keep the nodes when the cluster does not become usable')
            [CompletionResult]::new('--timings', '--timings', [CompletionResultType]::ParameterName, 'Print how long each phase took')
            [CompletionResult]::new('--no-lb', '--no-lb', [CompletionResultType]::ParameterName, 'As k3d takes it: kd makes a load balancer for its ports only')
            [CompletionResult]::new('--disable-default-cni', '--disable-default-cni', [CompletionResultType]::ParameterName, 'Leave the pod network to CNI plugins that are installed later')
            [CompletionResult]::new('--disable-kube-proxy', '--disable-kube-proxy', [CompletionResultType]::ParameterName, 'Leave Services to a proxy that is installed later')
            [CompletionResult]::new('--disable-scheduler', '--disable-scheduler', [CompletionResultType]::ParameterName, 'Leave pods to a scheduler of your own')
            [CompletionResult]::new('--encrypt-secrets', '--encrypt-secrets', [CompletionResultType]::ParameterName, 'Encrypt Secrets in the store, by a new key')
            [CompletionResult]::new('--no-kubeconfig-update', '--no-kubeconfig-update', [CompletionResultType]::ParameterName, 'Leave the kubeconfig alone')
            [CompletionResult]::new('--no-switch-context', '--no-switch-context', [CompletionResultType]::ParameterName, 'Leave the current context alone')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;cluster;delete' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;cluster;rm' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;cluster;del' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;clusters;delete' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;clusters;rm' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;clusters;del' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;cluster;edit' {
            [CompletionResult]::new('--port-add', '--port-add', [CompletionResultType]::ParameterName, 'A port of this machine that is to lead into the cluster, such as 8080:80@loadbalancer')
            [CompletionResult]::new('--port-delete', '--port-delete', [CompletionResultType]::ParameterName, 'A port that is not to any more, such as 8080:80@loadbalancer')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the load balancer may take to start')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;clusters;edit' {
            [CompletionResult]::new('--port-add', '--port-add', [CompletionResultType]::ParameterName, 'A port of this machine that is to lead into the cluster, such as 8080:80@loadbalancer')
            [CompletionResult]::new('--port-delete', '--port-delete', [CompletionResultType]::ParameterName, 'A port that is not to any more, such as 8080:80@loadbalancer')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the load balancer may take to start')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;cluster;list' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--no-headers', '--no-headers', [CompletionResultType]::ParameterName, 'Leave the table''s headers out')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;cluster;ls' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--no-headers', '--no-headers', [CompletionResultType]::ParameterName, 'Leave the table''s headers out')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;clusters;list' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--no-headers', '--no-headers', [CompletionResultType]::ParameterName, 'Leave the table''s headers out')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;clusters;ls' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--no-headers', '--no-headers', [CompletionResultType]::ParameterName, 'Leave the table''s headers out')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;cluster;logs' {
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'The folder to write to [a new one if none is given]')
            [CompletionResult]::new('--directory', '--directory', [CompletionResultType]::ParameterName, 'The folder to write to [a new one if none is given]')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;clusters;logs' {
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'The folder to write to [a new one if none is given]')
            [CompletionResult]::new('--directory', '--directory', [CompletionResultType]::ParameterName, 'The folder to write to [a new one if none is given]')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;cluster;start' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long a cluster may take to become usable')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'As k3d takes it; kd always waits')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--timings', '--timings', [CompletionResultType]::ParameterName, 'Print how long each phase took')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;clusters;start' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long a cluster may take to become usable')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'As k3d takes it; kd always waits')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--timings', '--timings', [CompletionResultType]::ParameterName, 'Print how long each phase took')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;cluster;stop' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;clusters;stop' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Add agents to a cluster that runs')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add agents to a cluster that runs')
            [CompletionResult]::new('delete', 'delete', [CompletionResultType]::ParameterValue, 'Take agents out of their cluster')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Take agents out of their cluster')
            [CompletionResult]::new('del', 'del', [CompletionResultType]::ParameterValue, 'Take agents out of their cluster')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the nodes')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the nodes')
            [CompletionResult]::new('start', 'start', [CompletionResultType]::ParameterValue, 'Start nodes that are stopped')
            [CompletionResult]::new('stop', 'stop', [CompletionResultType]::ParameterValue, 'Stop nodes; what is on them is kept')
            break
        }
        'kd;nodes' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Add agents to a cluster that runs')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add agents to a cluster that runs')
            [CompletionResult]::new('delete', 'delete', [CompletionResultType]::ParameterValue, 'Take agents out of their cluster')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Take agents out of their cluster')
            [CompletionResult]::new('del', 'del', [CompletionResultType]::ParameterValue, 'Take agents out of their cluster')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the nodes')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the nodes')
            [CompletionResult]::new('start', 'start', [CompletionResultType]::ParameterValue, 'Start nodes that are stopped')
            [CompletionResult]::new('stop', 'stop', [CompletionResultType]::ParameterValue, 'Stop nodes; what is on them is kept')
            break
        }
        'kd;node;create' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster to add to')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster to add to')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'How many agents')
            [CompletionResult]::new('--replicas', '--replicas', [CompletionResultType]::ParameterName, 'How many agents')
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'As k3d takes it: only agents can be added')
            [CompletionResult]::new('--node-label', '--node-label', [CompletionResultType]::ParameterName, 'A label of the new nodes, such as disk=ssd')
            [CompletionResult]::new('--node-taint', '--node-taint', [CompletionResultType]::ParameterName, 'A taint of the new nodes, such as gpu=yes:NoSchedule')
            [CompletionResult]::new('--volume', '--volume', [CompletionResultType]::ParameterName, 'A folder of this machine in the new nodes, such as /data:/data:ro')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'As k3d takes it; kd always waits')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the nodes may take to become Ready')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node;add' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster to add to')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster to add to')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'How many agents')
            [CompletionResult]::new('--replicas', '--replicas', [CompletionResultType]::ParameterName, 'How many agents')
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'As k3d takes it: only agents can be added')
            [CompletionResult]::new('--node-label', '--node-label', [CompletionResultType]::ParameterName, 'A label of the new nodes, such as disk=ssd')
            [CompletionResult]::new('--node-taint', '--node-taint', [CompletionResultType]::ParameterName, 'A taint of the new nodes, such as gpu=yes:NoSchedule')
            [CompletionResult]::new('--volume', '--volume', [CompletionResultType]::ParameterName, 'A folder of this machine in the new nodes, such as /data:/data:ro')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'As k3d takes it; kd always waits')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the nodes may take to become Ready')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;nodes;create' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster to add to')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster to add to')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'How many agents')
            [CompletionResult]::new('--replicas', '--replicas', [CompletionResultType]::ParameterName, 'How many agents')
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'As k3d takes it: only agents can be added')
            [CompletionResult]::new('--node-label', '--node-label', [CompletionResultType]::ParameterName, 'A label of the new nodes, such as disk=ssd')
            [CompletionResult]::new('--node-taint', '--node-taint', [CompletionResultType]::ParameterName, 'A taint of the new nodes, such as gpu=yes:NoSchedule')
            [CompletionResult]::new('--volume', '--volume', [CompletionResultType]::ParameterName, 'A folder of this machine in the new nodes, such as /data:/data:ro')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'As k3d takes it; kd always waits')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the nodes may take to become Ready')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;nodes;add' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster to add to')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster to add to')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'How many agents')
            [CompletionResult]::new('--replicas', '--replicas', [CompletionResultType]::ParameterName, 'How many agents')
            [CompletionResult]::new('--role', '--role', [CompletionResultType]::ParameterName, 'As k3d takes it: only agents can be added')
            [CompletionResult]::new('--node-label', '--node-label', [CompletionResultType]::ParameterName, 'A label of the new nodes, such as disk=ssd')
            [CompletionResult]::new('--node-taint', '--node-taint', [CompletionResultType]::ParameterName, 'A taint of the new nodes, such as gpu=yes:NoSchedule')
            [CompletionResult]::new('--volume', '--volume', [CompletionResultType]::ParameterName, 'A folder of this machine in the new nodes, such as /data:/data:ro')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'As k3d takes it; kd always waits')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the nodes may take to become Ready')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node;delete' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node;rm' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node;del' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;nodes;delete' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;nodes;rm' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;nodes;del' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node;list' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Only the nodes of this cluster')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'Only the nodes of this cluster')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--no-headers', '--no-headers', [CompletionResultType]::ParameterName, 'Leave the table''s headers out')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;node;ls' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Only the nodes of this cluster')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'Only the nodes of this cluster')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--no-headers', '--no-headers', [CompletionResultType]::ParameterName, 'Leave the table''s headers out')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;nodes;list' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Only the nodes of this cluster')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'Only the nodes of this cluster')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--no-headers', '--no-headers', [CompletionResultType]::ParameterName, 'Leave the table''s headers out')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;nodes;ls' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Only the nodes of this cluster')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'Only the nodes of this cluster')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--no-headers', '--no-headers', [CompletionResultType]::ParameterName, 'Leave the table''s headers out')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;node;start' {
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long a node may take to become Ready')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;nodes;start' {
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long a node may take to become Ready')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node;stop' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;nodes;stop' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;kubeconfig' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('get', 'get', [CompletionResultType]::ParameterValue, 'Print a cluster''s kubeconfig')
            [CompletionResult]::new('merge', 'merge', [CompletionResultType]::ParameterValue, 'Merge clusters into your kubeconfig and print its path')
            [CompletionResult]::new('write', 'write', [CompletionResultType]::ParameterValue, 'Merge clusters into your kubeconfig and print its path')
            break
        }
        'kd;kubeconfig;get' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--internal', '--internal', [CompletionResultType]::ParameterName, 'For clients in containers of the cluster''s network')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;kubeconfig;merge' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('--switch-context', '--switch-context', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('--update', '--update', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--no-switch-context', '--no-switch-context', [CompletionResultType]::ParameterName, 'Leave the current context alone')
            [CompletionResult]::new('--internal', '--internal', [CompletionResultType]::ParameterName, 'For clients in containers of the cluster''s network')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('--kubeconfig-merge-default', '--kubeconfig-merge-default', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;kubeconfig;write' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('--switch-context', '--switch-context', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('--update', '--update', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--no-switch-context', '--no-switch-context', [CompletionResultType]::ParameterName, 'Leave the current context alone')
            [CompletionResult]::new('--internal', '--internal', [CompletionResultType]::ParameterName, 'For clients in containers of the cluster''s network')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('--kubeconfig-merge-default', '--kubeconfig-merge-default', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;image' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('load', 'load', [CompletionResultType]::ParameterValue, 'Load images into every node of a cluster')
            [CompletionResult]::new('import', 'import', [CompletionResultType]::ParameterValue, 'Load images into every node of a cluster')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Remove layers on this host that no image of any cluster uses')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the images of a cluster')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the images of a cluster')
            break
        }
        'kd;images' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('load', 'load', [CompletionResultType]::ParameterValue, 'Load images into every node of a cluster')
            [CompletionResult]::new('import', 'import', [CompletionResultType]::ParameterValue, 'Load images into every node of a cluster')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Remove layers on this host that no image of any cluster uses')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the images of a cluster')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the images of a cluster')
            break
        }
        'kd;image;load' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;image;import' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;images;load' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;images;import' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;image;prune' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;images;prune' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;image;list' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;image;ls' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;images;list' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;images;ls' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;port-forward' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The namespace [that of the context if none is given]')
            [CompletionResult]::new('--namespace', '--namespace', [CompletionResultType]::ParameterName, 'The namespace [that of the context if none is given]')
            [CompletionResult]::new('--address', '--address', [CompletionResultType]::ParameterName, 'Addresses to listen on; "localhost" is both loopback addresses')
            [CompletionResult]::new('--context', '--context', [CompletionResultType]::ParameterName, 'A context of the kubeconfig')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A cluster of kd, with or without an entry in the kubeconfig')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'A cluster of kd, with or without an entry in the kubeconfig')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--pod-running-timeout', '--pod-running-timeout', [CompletionResultType]::ParameterName, 'How long to wait for a pod that runs')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node-image' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('build', 'build', [CompletionResultType]::ParameterValue, 'Build the image from this executable and load it into the engine')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Print what the engine knows about the image')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Delete images of other versions of kd that no node uses')
            break
        }
        'kd;node-image;build' {
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'The image''s name [one made of the content''s hash if none is given]')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'The image''s name [one made of the content''s hash if none is given]')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write the image to an archive instead of loading it into the engine')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write the image to an archive instead of loading it into the engine')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node-image;inspect' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;node-image;prune' {
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Delete the image of this executable, too')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'Delete the image of this executable, too')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;debug' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('proxy', 'proxy', [CompletionResultType]::ParameterValue, 'Show what a node''s kernel does with packets to Services')
            break
        }
        'kd;debug;proxy' {
            [CompletionResult]::new('--node', '--node', [CompletionResultType]::ParameterName, 'The node [the first server]')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the list')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;completion' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;version' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The form of the output')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The form of the output')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;create' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('cluster', 'cluster', [CompletionResultType]::ParameterValue, 'Create a cluster')
            break
        }
        'kd;create;cluster' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The cluster''s name, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The cluster''s name, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster, in kind''s form or k3d''s; `-` is standard input. Flags come before what it says')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster, in kind''s form or k3d''s; `-` is standard input. Flags come before what it says')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'How many servers; they hold the control plane and run pods too [1]')
            [CompletionResult]::new('--servers', '--servers', [CompletionResultType]::ParameterName, 'How many servers; they hold the control plane and run pods too [1]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'How many agents; they only run pods [0]')
            [CompletionResult]::new('--agents', '--agents', [CompletionResultType]::ParameterName, 'How many agents; they only run pods [0]')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'A node image instead of the one that kd builds itself')
            [CompletionResult]::new('--image', '--image', [CompletionResultType]::ParameterName, 'A node image instead of the one that kd builds itself')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the cluster may take to become usable')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'As kind and k3d take it; kd always waits. A duration is taken for --timeout when it is longer')
            [CompletionResult]::new('--api-port', '--api-port', [CompletionResultType]::ParameterName, 'The API server''s port on this machine, perhaps with --api-host before it [a free one if none is given]')
            [CompletionResult]::new('--api-host', '--api-host', [CompletionResultType]::ParameterName, 'The name or address under which clients reach the API server')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]')
            [CompletionResult]::new('--port', '--port', [CompletionResultType]::ParameterName, 'A port of this machine that leads into the cluster, such as 8080:80@loadbalancer: [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'A folder of this machine in nodes, such as /data:/data:ro@agent:0')
            [CompletionResult]::new('--volume', '--volume', [CompletionResultType]::ParameterName, 'A folder of this machine in nodes, such as /data:/data:ro@agent:0')
            [CompletionResult]::new('--node-label', '--node-label', [CompletionResultType]::ParameterName, 'A label of nodes, such as disk=ssd@agent:0')
            [CompletionResult]::new('--node-taint', '--node-taint', [CompletionResultType]::ParameterName, 'A taint of nodes, such as gpu=yes:NoSchedule@agent:0')
            [CompletionResult]::new('--host-alias', '--host-alias', [CompletionResultType]::ParameterName, 'A host that pods and nodes know by name, such as 192.0.2.7:db.example,db')
            [CompletionResult]::new('--disable', '--disable', [CompletionResultType]::ParameterName, 'A part that the cluster is to be without: ingress')
            [CompletionResult]::new('--subnet', '--subnet', [CompletionResultType]::ParameterName, 'The address range of the cluster''s Docker network, such as 172.28.0.0/16')
            [CompletionResult]::new('--ip-family', '--ip-family', [CompletionResultType]::ParameterName, 'The IP families of pods, services and nodes [ipv4]')
            [CompletionResult]::new('--pod-cidr', '--pod-cidr', [CompletionResultType]::ParameterName, 'The address range of pods; two of both families with a comma [10.244.0.0/16]')
            [CompletionResult]::new('--service-cidr', '--service-cidr', [CompletionResultType]::ParameterName, 'The address range of services; two of both families with a comma [10.96.0.0/16]')
            [CompletionResult]::new('--non-masquerade-cidr', '--non-masquerade-cidr', [CompletionResultType]::ParameterName, 'A range outside of the cluster that pods reach with their own addresses')
            [CompletionResult]::new('--network-backend', '--network-backend', [CompletionResultType]::ParameterName, 'How packets get to other nodes'' pods')
            [CompletionResult]::new('--insecure-registry', '--insecure-registry', [CompletionResultType]::ParameterName, 'A registry (`host` or `host:port`) that nodes speak to without TLS')
            [CompletionResult]::new('--registry-ca', '--registry-ca', [CompletionResultType]::ParameterName, 'A file with certificates of authorities that nodes trust for registries, PEM')
            [CompletionResult]::new('--registry-config', '--registry-config', [CompletionResultType]::ParameterName, 'Mirrors, credentials and certificates of registries, as k3s'' registries.yaml has them')
            [CompletionResult]::new('--registry-hosts', '--registry-hosts', [CompletionResultType]::ParameterName, 'The same as containerd has it: a folder with HOST/hosts.toml. One that is mounted with --volume DIR:/etc/containerd/certs.d may change while the cluster runs')
            [CompletionResult]::new('--registry-auth', '--registry-auth', [CompletionResultType]::ParameterName, 'A registry for which nodes get your credentials of `docker login`; `all` is for all of them. They are copied now, also from credential helpers; whoever may inspect the nodes'' containers sees them')
            [CompletionResult]::new('--kubelet-arg', '--kubelet-arg', [CompletionResultType]::ParameterName, 'A flag of the nodes'' kubelets, such as max-pods=200 or system-reserved=memory=1Gi')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'The memory that each node may use, such as 2g or 512Mi')
            [CompletionResult]::new('--cpus', '--cpus', [CompletionResultType]::ParameterName, 'The cores that each node may use, such as 2 or 1.5')
            [CompletionResult]::new('--simulated-nodes', '--simulated-nodes', [CompletionResultType]::ParameterName, 'Nodes that are only objects; pods there count as running, and nothing runs')
            [CompletionResult]::new('--scheduler-config', '--scheduler-config', [CompletionResultType]::ParameterName, 'A file that configures the scheduler (KubeSchedulerConfiguration)')
            [CompletionResult]::new('--audit-policy', '--audit-policy', [CompletionResultType]::ParameterName, 'An audit policy (audit.k8s.io/v1): what the API server logs of requests, in /var/log/kubernetes/audit.log of the server''s node')
            [CompletionResult]::new('--authentication-config', '--authentication-config', [CompletionResultType]::ParameterName, 'An AuthenticationConfiguration: OIDC issuers whose tokens the API server takes')
            [CompletionResult]::new('--authorization-config', '--authorization-config', [CompletionResultType]::ParameterName, 'An AuthorizationConfiguration: webhooks that decide beside RBAC')
            [CompletionResult]::new('--encryption-config', '--encryption-config', [CompletionResultType]::ParameterName, 'An EncryptionConfiguration: what is encrypted in the store, and by which keys')
            [CompletionResult]::new('--kubeconfig-update', '--kubeconfig-update', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('--switch-context', '--switch-context', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--retain', '--retain', [CompletionResultType]::ParameterName, 'Keep the nodes when the cluster does not become usable')
            [CompletionResult]::new('--no-rollback', '--no-rollback', [CompletionResultType]::ParameterName, 'Keep the nodes when the cluster does not become usable')
            [CompletionResult]::new('--timings', '--timings', [CompletionResultType]::ParameterName, 'Print how long each phase took')
            [CompletionResult]::new('--no-lb', '--no-lb', [CompletionResultType]::ParameterName, 'As k3d takes it: kd makes a load balancer for its ports only')
            [CompletionResult]::new('--disable-default-cni', '--disable-default-cni', [CompletionResultType]::ParameterName, 'Leave the pod network to CNI plugins that are installed later')
            [CompletionResult]::new('--disable-kube-proxy', '--disable-kube-proxy', [CompletionResultType]::ParameterName, 'Leave Services to a proxy that is installed later')
            [CompletionResult]::new('--disable-scheduler', '--disable-scheduler', [CompletionResultType]::ParameterName, 'Leave pods to a scheduler of your own')
            [CompletionResult]::new('--encrypt-secrets', '--encrypt-secrets', [CompletionResultType]::ParameterName, 'Encrypt Secrets in the store, by a new key')
            [CompletionResult]::new('--no-kubeconfig-update', '--no-kubeconfig-update', [CompletionResultType]::ParameterName, 'Leave the kubeconfig alone')
            [CompletionResult]::new('--no-switch-context', '--no-switch-context', [CompletionResultType]::ParameterName, 'Leave the current context alone')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'kd;delete' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('cluster', 'cluster', [CompletionResultType]::ParameterValue, 'Delete a cluster')
            break
        }
        'kd;delete;cluster' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A file that describes the cluster to delete, as for `kd cluster create`')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;get' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('clusters', 'clusters', [CompletionResultType]::ParameterValue, 'List clusters by name')
            [CompletionResult]::new('nodes', 'nodes', [CompletionResultType]::ParameterValue, 'List the nodes of a cluster by name')
            [CompletionResult]::new('kubeconfig', 'kubeconfig', [CompletionResultType]::ParameterValue, 'Print a cluster''s kubeconfig')
            break
        }
        'kd;get;clusters' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;get;nodes' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-A', '-A ', [CompletionResultType]::ParameterName, 'The nodes of all clusters')
            [CompletionResult]::new('--all-clusters', '--all-clusters', [CompletionResultType]::ParameterName, 'The nodes of all clusters')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;get;kubeconfig' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--internal', '--internal', [CompletionResultType]::ParameterName, 'For clients in containers of the cluster''s network')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;load' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('docker-image', 'docker-image', [CompletionResultType]::ParameterValue, 'Load images of the local Docker engine')
            [CompletionResult]::new('image-archive', 'image-archive', [CompletionResultType]::ParameterValue, 'Load images from archives')
            break
        }
        'kd;load;docker-image' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;load;image-archive' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--cluster', '--cluster', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;export' {
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('kubeconfig', 'kubeconfig', [CompletionResultType]::ParameterValue, 'Merge a cluster''s kubeconfig into yours')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Write a cluster''s logs into a folder')
            break
        }
        'kd;export;kubeconfig' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The name of a cluster, as kind takes it')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--kubeconfig', '--kubeconfig', [CompletionResultType]::ParameterName, 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given]')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('--switch-context', '--switch-context', [CompletionResultType]::ParameterName, 'As k3d takes it')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('--update', '--update', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All clusters')
            [CompletionResult]::new('--no-switch-context', '--no-switch-context', [CompletionResultType]::ParameterName, 'Leave the current context alone')
            [CompletionResult]::new('--internal', '--internal', [CompletionResultType]::ParameterName, 'For clients in containers of the cluster''s network')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('--kubeconfig-merge-default', '--kubeconfig-merge-default', [CompletionResultType]::ParameterName, 'As k3d takes it; it is so anyway')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'kd;export;logs' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The cluster''s name')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors and data only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
