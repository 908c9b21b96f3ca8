//! Who a container's process is: ids, groups and home from the pod, the image and the image's
//! /etc/passwd and /etc/group.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::report::Failed;
use crate::interface::{ContainerUser, Security};
use crate::sys::path::read_in_root;

/// More of a passwd or group file is not read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A user with the home directory of its passwd entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Ids.
    pub ids: ContainerUser,
    /// `HOME` when the environment has none.
    pub home: String,
}

/// Resolves the user of a container against the files in its root.
pub fn resolve(
    root: BorrowedFd<'_>,
    image_user: &str,
    security: &Security,
) -> Result<User, Failed> {
    let read = |path: &str| read_in_root(root, Path::new(path), FILE_BYTES_MAX).unwrap_or_default();
    resolve_in(&read("/etc/passwd"), &read("/etc/group"), image_user, security)
}

fn resolve_in(
    passwd: &str,
    group: &str,
    image_user: &str,
    security: &Security,
) -> Result<User, Failed> {
    let (user, image_group) = image_user.split_once(':').unwrap_or((image_user, ""));
    let user = security.run_as_user.map_or_else(|| user.to_owned(), |uid| uid.to_string());
    let account = find_account(passwd, &user)?;
    let gid = match security.run_as_group {
        Some(gid) => gid,
        None if security.run_as_user.is_none() && !image_group.is_empty() => {
            find_group(group, image_group)?
        }
        None => account.gid,
    };
    let mut groups: BTreeSet<i64> = security.supplemental_groups.iter().copied().collect();
    groups.insert(gid);
    if !security.supplemental_groups_strict && !account.name.is_empty() {
        groups.extend(memberships(group, &account.name));
    }
    let supplemental_groups = groups.into_iter().collect();
    Ok(User {
        ids: ContainerUser { uid: account.uid, gid, supplemental_groups },
        home: account.home,
    })
}

struct Account {
    name: String,
    uid: i64,
    gid: i64,
    home: String,
}

fn find_account(passwd: &str, user: &str) -> Result<Account, Failed> {
    let number = if user.is_empty() { Some(0) } else { user.parse::<i64>().ok() };
    let entries = passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        Some(Account {
            name: (*fields.first()?).to_owned(),
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            home: fields.get(5).map_or("/", |home| home).to_owned(),
        })
    });
    // A name made of digits is still a name.
    let accounts: Vec<Account> = entries.collect();
    let by_name = accounts.iter().position(|account| !user.is_empty() && account.name == user);
    let found = by_name.or_else(|| accounts.iter().position(|a| Some(a.uid) == number));
    match (found, number) {
        (Some(index), _) => accounts
            .into_iter()
            .nth(index)
            .ok_or_else(|| Failed::invalid(format!("no user {user}"))),
        (None, Some(uid)) if (0..=i64::from(u32::MAX - 1)).contains(&uid) => {
            Ok(Account { name: String::new(), uid, gid: 0, home: "/".into() })
        }
        (None, Some(uid)) => Err(Failed::invalid(format!("user id {uid} is out of range"))),
        (None, None) => Err(Failed::invalid(format!(
            "unable to find user {user}: no matching entries in passwd file"
        ))),
    }
}

fn find_group(file: &str, group: &str) -> Result<i64, Failed> {
    let named = file.lines().find_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        (fields.first() == Some(&group)).then(|| fields.get(2)?.parse().ok()).flatten()
    });
    named.or_else(|| group.parse().ok()).ok_or_else(|| {
        Failed::invalid(format!("unable to find group {group}: no matching entries in group file"))
    })
}

fn memberships(file: &str, user: &str) -> Vec<i64> {
    let member = |line: &str| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let members = fields.get(3)?;
        members.split(',').any(|name| name == user).then(|| fields.get(2)?.parse().ok()).flatten()
    };
    file.lines().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv/web:/bin/false\n";
    const GROUP: &str = "root:x:0:\nweb:x:102:\nlogs:x:200:web,other\nalone:x:300:\n";

    fn check(image: &str, security: Security, expect: Result<(i64, i64, &[i64], &str), &str>) {
        let result = resolve_in(PASSWD, GROUP, image, &security)
            .map_err(|failed| crate::interface::Error::from(failed.0).to_string());
        let expect = expect
            .map(|(uid, gid, groups, home)| User {
                ids: ContainerUser { uid, gid, supplemental_groups: groups.to_vec() },
                home: home.into(),
            })
            .map_err(str::to_owned);
        assert_eq!(result, expect, "{image}");
    }

    #[test]
    fn users() {
        let none = Security::default;
        check("", none(), Ok((0, 0, &[0], "/root")));
        check("web", none(), Ok((101, 102, &[102, 200], "/srv/web")));
        check("101", none(), Ok((101, 102, &[102, 200], "/srv/web")));
        check("web:alone", none(), Ok((101, 300, &[200, 300], "/srv/web")));
        check("1000", none(), Ok((1000, 0, &[0], "/")));
        check("1000:1000", none(), Ok((1000, 1000, &[1000], "/")));
        let missing = "unable to find user nobody: no matching entries in passwd file";
        check("nobody", none(), Err(missing));
        let missing = "unable to find group gone: no matching entries in group file";
        check("web:gone", none(), Err(missing));
        let pod = Security {
            run_as_user: Some(101),
            run_as_group: Some(7),
            supplemental_groups: vec![9],
            ..none()
        };
        check("0:0", pod.clone(), Ok((101, 7, &[7, 9, 200], "/srv/web")));
        let strict = Security { supplemental_groups_strict: true, ..pod };
        check("0:0", strict, Ok((101, 7, &[7, 9], "/srv/web")));
    }
}
