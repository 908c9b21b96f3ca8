//! An emulated machine with Debian's cloud kernel, whose only program is a node: what a node sees where
//! control groups are those of version 2. Its first process mounts what Docker would, and becomes `kd
//! init`. Without KVM, so that it is the same wherever it runs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Fixture, docker, run};

const QEMU: &str = "qemu-system-x86_64";
const MEMORY: &str = "3G";
/// The node's state, a file that takes only what is written to it.
const DISK_BYTES: u64 = 4 << 30;
/// Kernel modules that a node may need, below the kernel's own folder.
const MODULES: &[&str] = &[
    "kernel/arch/x86/crypto",
    "kernel/crypto",
    "kernel/drivers/block/virtio_blk.ko",
    "kernel/drivers/net/net_failover.ko",
    "kernel/drivers/net/veth.ko",
    "kernel/drivers/net/virtio_net.ko",
    "kernel/drivers/virtio",
    "kernel/fs/overlayfs",
    "kernel/lib",
    "kernel/net",
];

/// The first process: what the engine does for a node's container, then the node.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue /root
for module in virtio_pci virtio_blk virtio_net overlay veth nf_tables nft_chain_nat nft_masq nft_ct; do
  modprobe $module
done
mount -t tmpfs -o mode=755 root /root
mkdir -p /root/var /root/proc /root/sys /root/dev /root/run /root/tmp /root/etc
mount -t ext4 /dev/vda /root/var
mv /kd /images.tar /node.json /root/
cp -a /etc/. /root/etc
cp -a /bin /sbin /lib /root/
for part in proc sys dev; do mount --move /$part /root/$part; done
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs -o mode=1777 shm /root/dev/shm
groups=/root/sys/fs/cgroup
mount -t cgroup2 cgroup2 $groups
for controller in cpu memory pids cpuset io hugetlb; do
  echo +$controller > $groups/cgroup.subtree_control
done
mkdir $groups/node
echo 1 > $groups/node/cgroup.procs
mount --bind $groups/node $groups
mount -t tmpfs -o mode=755 run /root/run
mount -t tmpfs -o mode=1777 tmp /root/tmp
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
hostname "$NODE"
exec switch_root /root /bin/busybox sh -c '
  mkdir -p /var/lib/kd-images
  export KD_NODE_CONFIG="$(cat /node.json)"
  /kd image-import < /images.tar
  exec /kd init'
"#;

/// Why there is no such machine here, if so.
pub fn missing() -> Option<String> {
    if Command::new(QEMU).arg("--version").stdout(Stdio::null()).status().is_err() {
        return Some(format!("{QEMU} is not installed"));
    }
    if kernel().is_none() {
        return Some("Debian's linux-image-cloud-amd64 is not installed".into());
    }
    None
}

/// The newest cloud kernel's release.
fn kernel() -> Option<String> {
    let names = std::fs::read_dir("/boot").ok()?.flatten().map(|entry| entry.file_name());
    let releases = names.filter_map(|name| {
        let release = name.to_str()?.strip_prefix("vmlinuz-")?.to_owned();
        let modules = Path::new("/lib/modules").join(&release);
        (release.contains("-cloud-") && modules.exists()).then_some(release)
    });
    releases.max()
}

/// A machine, ended when dropped.
pub struct Machine {
    child: Child,
    pub console: PathBuf,
    /// Where the API server is on this machine.
    pub port: u16,
}

impl Machine {
    /// Boots a node with the configuration of one of Docker's.
    pub fn boot(fixture: &Fixture, config: &str, image: &str) -> Machine {
        let release = kernel().expect("a kernel");
        let directory = fixture.directory().join("machine");
        std::fs::create_dir_all(&directory).unwrap();
        let images = directory.join("images.tar");
        docker(&["save", "-o", images.to_str().unwrap(), image]).ok();
        let archive = directory.join("initrd");
        pack(&archive, &release, config, &images).unwrap();
        let disk = directory.join("disk");
        File::create(&disk).unwrap().set_len(DISK_BYTES).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk), "").ok();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let console = directory.join("console");
        let name = node_name(config);
        let child = Command::new(QEMU)
            .args(["-accel", "tcg", "-smp", "2", "-m", MEMORY])
            .args(["-display", "none", "-no-reboot", "-monitor", "none"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-kernel")
            .arg(format!("/boot/vmlinuz-{release}"))
            .arg("-initrd")
            .arg(&archive)
            .arg("-append")
            .arg(format!("console=ttyS0 quiet panic=-1 NODE={name}"))
            .arg("-drive")
            .arg(format!("file={},if=virtio,format=raw,cache=unsafe", disk.display()))
            .arg("-netdev")
            .arg(format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:6443"))
            .args(["-device", "virtio-net-pci,netdev=net"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Machine { child, console, port }
    }

    /// The last lines that the machine has printed.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn node_name(config: &str) -> String {
    let (_, rest) = config.split_once("\"name\":\"").expect("a node's name");
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// The file system that the kernel starts with, in the `newc` form of cpio
/// (<https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>).
fn pack(archive: &Path, release: &str, config: &str, images: &Path) -> io::Result<()> {
    let mut cpio = Cpio { out: io::BufWriter::new(File::create(archive)?), inode: 0 };
    for directory in ["bin", "sbin", "dev", "proc", "sys", "etc", "lib", "lib/modules"] {
        cpio.directory(directory)?;
    }
    cpio.bytes("init", 0o755, INIT.as_bytes())?;
    cpio.file("bin/busybox", Path::new("/bin/busybox"))?;
    cpio.link("sbin/modprobe", "/bin/busybox")?;
    cpio.file("kd", Path::new(env!("CARGO_BIN_EXE_kd")))?;
    cpio.file("images.tar", images)?;
    cpio.bytes("node.json", 0o600, config.as_bytes())?;
    cpio.bytes("etc/hosts", 0o644, b"127.0.0.1 localhost\n")?;
    cpio.bytes("etc/resolv.conf", 0o644, b"nameserver 10.0.2.3\n")?;
    let modules = Path::new("/lib/modules").join(release);
    let inside = format!("lib/modules/{release}");
    cpio.directory(&inside)?;
    for name in ["modules.dep", "modules.alias", "modules.symbols", "modules.builtin"] {
        cpio.file(&format!("{inside}/{name}"), &modules.join(name))?;
    }
    let mut made = std::collections::BTreeSet::new();
    for name in MODULES {
        cpio.tree(&modules, Path::new(name), &inside, &mut made)?;
    }
    cpio.finish()
}

struct Cpio<W> {
    out: W,
    inode: u32,
}

impl<W: Write> Cpio<W> {
    fn entry(&mut self, name: &str, mode: u32, size: u64, content: impl Read) -> io::Result<()> {
        self.inode += 1;
        let (inode, links) = (self.inode, 1);
        let fields = [inode, mode, 0, 0, links, 0, size as u32, 0, 0, 0, 0];
        write!(self.out, "070701")?;
        for field in fields.into_iter().chain([name.len() as u32 + 1, 0]) {
            write!(self.out, "{field:08X}")?;
        }
        write!(self.out, "{name}\0")?;
        self.pad(110 + name.len() as u64 + 1)?;
        io::copy(&mut content.take(size), &mut self.out)?;
        self.pad(size)
    }

    fn pad(&mut self, written: u64) -> io::Result<()> {
        let missing = written.next_multiple_of(4) - written;
        self.out.write_all(&[0; 3][..missing as usize])
    }

    fn bytes(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(name, 0o100_000 | mode, content.len() as u64, content)
    }

    fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, 0o040_755, 0, io::empty())
    }

    fn link(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.entry(name, 0o120_777, target.len() as u64, target.as_bytes())
    }

    fn file(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        self.entry(name, 0o100_000 | metadata.mode() & 0o777, metadata.len(), file)
    }

    /// A file or folder below `top`, with the folders above it.
    fn tree(
        &mut self,
        top: &Path,
        below: &Path,
        inside: &str,
        made: &mut std::collections::BTreeSet<PathBuf>,
    ) -> io::Result<()> {
        let mut folders: Vec<&Path> = below.ancestors().skip(1).collect();
        folders.retain(|folder| !folder.as_os_str().is_empty());
        for folder in folders.into_iter().rev() {
            if made.insert(folder.to_owned()) {
                self.directory(&format!("{inside}/{}", folder.display()))?;
            }
        }
        let path = top.join(below);
        let Ok(metadata) = std::fs::metadata(&path) else { return Ok(()) };
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                self.tree(top, &below.join(entry?.file_name()), inside, made)?;
            }
            return Ok(());
        }
        self.file(&format!("{inside}/{}", below.display()), &path)
    }

    fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, 0, io::empty())?;
        self.out.flush()
    }
}
