# What in a pod is not allowed by Kubernetes' pod security profile *restricted*, one sentence each, and what hearth asks
# beyond that: a file system that is read-only. Input: the pod's template or the pod itself.
def containers: (.containers // []) + (.initContainers // []) + (.ephemeralContainers // []);
.spec as $pod
| [
    ("hostNetwork", "hostPID", "hostIPC" | select($pod[.] == true) | "pod: \(.) is not allowed"),
    ($pod.volumes // [] | .[]
      | select((keys - ["name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"]) != [])
      | "volume \(.name): its kind is not allowed"),
    ($pod.securityContext.sysctls // [] | .[]
      | select(.name | IN("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
          "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
          "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem") | not)
      | "pod: sysctl \(.name) is not safe"),
    ($pod | containers[] | .name as $name | .securityContext as $own | ($pod.securityContext // {}) as $all
      | (
        (select($own.privileged == true) | "privileged"),
        (select($own.allowPrivilegeEscalation != false) | "allowPrivilegeEscalation is not false"),
        (select(($own.capabilities.drop // []) | index("ALL") == null) | "does not drop ALL capabilities"),
        (select((($own.capabilities.add // []) - ["NET_BIND_SERVICE"]) != []) | "adds capabilities"),
        (select(if $own.runAsNonRoot == null then $all.runAsNonRoot != true else $own.runAsNonRoot != true end) | "runAsNonRoot is not true"),
        (select($own.runAsUser == 0 or ($own.runAsUser == null and $all.runAsUser == 0)) | "runs as user 0"),
        (select(($own.seccompProfile.type // $all.seccompProfile.type) | IN("RuntimeDefault", "Localhost") | not) | "has no seccomp profile"),
        (select(($own.appArmorProfile.type // $all.appArmorProfile.type) == "Unconfined") | "is not confined by AppArmor"),
        (select(($own.seLinuxOptions // $all.seLinuxOptions // {}) | (.user // .role) != null
            or ((.type // "container_t") | IN("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t") | not)) | "has options of SELinux"),
        (select(($own.procMount // "Default") != "Default") | "has a procMount"),
        (select($own.windowsOptions.hostProcess == true or $all.windowsOptions.hostProcess == true) | "is a host process"),
        (select(any(.ports // [] | .[]; (.hostPort // 0) != 0)) | "has a hostPort"),
        (select(any(.livenessProbe, .readinessProbe, .startupProbe, .lifecycle.preStop, .lifecycle.postStart; (.httpGet.host // .tcpSocket.host // "") != "")) | "probes another host"),
        (select($own.readOnlyRootFilesystem != true) | "its file system can be written")
      ) | "container \($name): \(.)")
  ]
