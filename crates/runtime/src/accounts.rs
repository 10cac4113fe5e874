//! Users and groups of an image, by its own `/etc/passwd` and `/etc/group`; never by the node's.

use crate::plan::UserPlan;

/// A looked-up user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub uid: u32,
    pub gid: u32,
    /// Beside `gid`, in order, each once.
    pub groups: Vec<u32>,
    pub home: String,
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (_comment, home) = (fields.next()?, fields.next().unwrap_or(""));
        Some(User { name, uid, gid, home })
    })
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some(Group { name, gid: fields.next()?.parse().ok()?, members: fields.next().unwrap_or("") })
    })
}

/// Looks up `wanted`. `passwd` and `group` are the texts of the files, empty if the image has none.
pub(crate) fn look_up(wanted: &UserPlan, passwd: &str, group: &str) -> Result<Account, String> {
    let text = if wanted.user.is_empty() { "0" } else { &wanted.user };
    let entry = match text.parse::<u32>() {
        Ok(uid) => users(passwd).find(|user| user.uid == uid).ok_or(uid),
        Err(_) => Ok(users(passwd)
            .find(|user| user.name == text)
            .ok_or_else(|| format!("unable to find user {text}: no matching entries in passwd file"))?),
    };
    let (uid, mut gid, home) = match &entry {
        Ok(user) => (user.uid, user.gid, user.home),
        Err(uid) => (*uid, 0, ""),
    };
    if !wanted.group.is_empty() {
        gid = match wanted.group.parse() {
            Ok(gid) => gid,
            Err(_) => {
                groups(group).find(|entry| entry.name == wanted.group).map(|entry| entry.gid).ok_or_else(
                    || format!("unable to find group {}: no matching entries in group file", wanted.group),
                )?
            }
        };
    }
    let mut more = Vec::new();
    let mut add = |gid: u32| {
        if !more.contains(&gid) {
            more.push(gid);
        }
    };
    if let (Ok(user), true) = (&entry, wanted.image_groups) {
        groups(group)
            .filter(|entry| entry.members.split(',').any(|member| member.trim() == user.name))
            .for_each(|entry| add(entry.gid));
    }
    wanted.supplemental.iter().copied().for_each(&mut add);
    let home = if home.is_empty() { "/".to_owned() } else { home.to_owned() };
    Ok(Account { uid, gid, groups: more, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken line\nweb:x:33:33:web:/var/www:/bin/false\nodd:x:7:8\n";
    const GROUP: &str = "root:x:0:root\nadm:x:4:root,web\nwheel:x:10:root\nlogs:x:50:web, root\n";

    fn find(user: &str, group: &str, supplemental: &[u32]) -> Result<Account, String> {
        let plan = UserPlan {
            user: user.into(),
            group: group.into(),
            supplemental: supplemental.to_vec(),
            image_groups: true,
        };
        look_up(&plan, PASSWD, GROUP)
    }

    fn account(uid: u32, gid: u32, groups: &[u32], home: &str) -> Account {
        Account { uid, gid, groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn users_and_groups_by_number_and_name() {
        let cases = [
            ("", "", vec![], account(0, 0, &[0, 4, 10, 50], "/root")),
            ("root", "", vec![], account(0, 0, &[0, 4, 10, 50], "/root")),
            ("web", "", vec![], account(33, 33, &[4, 50], "/var/www")),
            ("33", "", vec![50, 60], account(33, 33, &[4, 50, 60], "/var/www")),
            ("33", "0", vec![], account(33, 0, &[4, 50], "/var/www")),
            ("web", "wheel", vec![], account(33, 10, &[4, 50], "/var/www")),
            ("1000", "", vec![], account(1000, 0, &[], "/")),
            ("1000", "1001", vec![5], account(1000, 1001, &[5], "/")),
            ("1000", "adm", vec![], account(1000, 4, &[], "/")),
        ];
        for (user, group, supplemental, expected) in cases {
            assert_eq!(find(user, group, &supplemental), Ok(expected), "{user}:{group}");
        }
    }

    #[test]
    fn strict_groups_leave_the_image_s_out() {
        let plan = UserPlan { user: "web".into(), supplemental: vec![60], ..UserPlan::default() };
        assert_eq!(look_up(&plan, PASSWD, GROUP).unwrap().groups, [60]);
    }

    #[test]
    fn unknown_names_are_refused_and_files_may_be_absent() {
        assert_eq!(
            find("nobody", "", &[]),
            Err("unable to find user nobody: no matching entries in passwd file".into())
        );
        assert_eq!(
            find("web", "nobody", &[]),
            Err("unable to find group nobody: no matching entries in group file".into())
        );
        assert_eq!(look_up(&UserPlan::default(), "", "").unwrap(), account(0, 0, &[], "/"));
        assert!(find("-1", "", &[]).is_err() && find("4294967296", "", &[]).is_err());
    }
}
