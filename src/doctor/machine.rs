//! The machine under it all: has it a card, a kernel driver, and which system would install what is missing.
//!
//! Decides from a few files of the kernel. Finds nothing where there are none (another system than Linux).

use std::fs;
use std::path::Path;

/// NVIDIA's number on the PCI bus.
const VENDOR: &str = "0x10de";

/// How a system installs its packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum System {
    Debian,
    Ubuntu,
    Fedora,
    Arch,
    #[default]
    Other,
}

/// What the kernel shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    pub system: System,
    /// `None` where the kernel shows no PCI bus.
    pub has_card: Option<bool>,
    /// The version of the loaded kernel module.
    pub kernel_driver: Option<String>,
}

impl Machine {
    /// Reads the files below `root`, which is `/` but for tests.
    #[must_use]
    pub fn read(root: &Path) -> Machine {
        let release = fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
        let module = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok();
        let devices = fs::read_dir(root.join("sys/bus/pci/devices")).ok();
        let is_card = |entry: std::io::Result<fs::DirEntry>| {
            let vendor = entry.and_then(|e| fs::read_to_string(e.path().join("vendor")));
            vendor.is_ok_and(|v| v.trim() == VENDOR)
        };
        let version = |text: String| {
            let is_version = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
            text.split_whitespace().find(is_version).unwrap_or("of an unknown version").to_owned()
        };
        Machine {
            system: System::of(&release),
            has_card: devices.map(|mut all| all.any(is_card)),
            kernel_driver: module.map(version),
        }
    }
}

impl System {
    fn of(release: &str) -> System {
        let value = |key: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or("").trim_matches('"').to_owned()
        };
        let names = format!("{} {}", value("ID="), value("ID_LIKE="));
        let known = [
            ("ubuntu", System::Ubuntu),
            ("debian", System::Debian),
            ("fedora", System::Fedora),
            ("rhel", System::Fedora),
            ("arch", System::Arch),
        ];
        names.split(' ').find_map(|name| known.iter().find(|(k, _)| *k == name)).map_or(System::Other, |(_, s)| *s)
    }

    /// The command that installs NVIDIA's driver.
    #[must_use]
    pub fn driver_command(self) -> &'static str {
        match self {
            System::Ubuntu => "sudo ubuntu-drivers install",
            System::Debian => "sudo apt-get install nvidia-driver",
            System::Fedora => "sudo dnf install akmod-nvidia xorg-x11-drv-nvidia-cuda",
            System::Arch => "sudo pacman -S nvidia nvidia-utils",
            System::Other => "see https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/",
        }
    }

    /// The command that installs Python.
    #[must_use]
    pub fn python_command(self) -> &'static str {
        match self {
            System::Ubuntu | System::Debian => "sudo apt-get install python3 python3-pip",
            System::Fedora => "sudo dnf install python3 python3-pip",
            System::Arch => "sudo pacman -S python python-pip",
            System::Other => "see https://www.python.org/downloads/",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_read_from_its_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        assert_eq!(Machine::read(root), Machine::default());
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it is below the root")).expect("a temporary folder");
            fs::write(path, text).expect("a temporary folder");
        };
        write("etc/os-release", "NAME=\"Rocky\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n");
        write("sys/bus/pci/devices/0000:00:01.0/vendor", "0x8086\n");
        let found = Machine { system: System::Fedora, has_card: Some(false), kernel_driver: None };
        assert_eq!(Machine::read(root), found);
        write("sys/bus/pci/devices/0000:00:02.0/vendor", "0x10de\n");
        write(
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release\n",
        );
        let found = Machine::read(root);
        assert_eq!((found.has_card, found.kernel_driver.as_deref()), (Some(true), Some("580.95.05")));
    }

    #[test]
    fn the_nearest_name_decides() {
        assert_eq!(System::of("ID=linuxmint\nID_LIKE=\"ubuntu debian\""), System::Ubuntu);
        assert_eq!(System::of("ID=debian\n"), System::Debian);
        assert_eq!(System::of("ID=plan9"), System::Other);
    }
}
