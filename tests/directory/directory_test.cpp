#include "directory/directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "base/strings.h"
#include "directory/from_settings.h"
#include "directory/passwd_file.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::directory;
using namespace std::chrono_literals;

namespace {

void write(const std::string& path, std::string_view text) {
  std::ofstream(path + ".new") << text;
  rename((path + ".new").c_str(), path.c_str());
}

struct Fixture {
  mail::test::TemporaryDirectory directory;
  ManualClock clock{WallTime{}};
  Options options;
  std::unique_ptr<Directory> users;

  void open() {
    auto opened = Directory::open(options, clock);
    if (!opened) FAIL(opened.error().text);
    users = std::move(*opened);
  }
  Fixture() {
    options.passwd_file = directory / "users";
    options.domains = {"example.test", "second.test"};
    options.mail_root = "/srv/mail/%d/%n";
    write(options.passwd_file,
          "# users\n"
          "ann:{PLAIN}secret:1001:1002:Ann Lee:/home/ann::userdb_quota_rule=*:storage=1G:messages=500 color=blue\n"
          "Bob@Second.test:{PLAIN}b:b::::::\n"
          "bob@example.test:{SSHA256}7NienY8SKgoedgcNL0KCwJSIQzUrFCeU2al4lJ5Q2CBzYWx0c2FsdA==::::/home/"
          "bob::userdb_mail=mbox:~/mail:INBOX=/var/mail/%n\n"
          "locked:{PLAIN}x::::/home/locked::nologin\n");
  }
};

}  // namespace

TEST_CASE("users are found by name and by address of a local domain") {
  Fixture f;
  write(f.options.passwd_file,
        "ann:{PLAIN}secret:1001:1002:Ann Lee:/home/ann::userdb_quota_rule=*:storage=1G:messages=500 color=blue\n"
        "Bob@Second.test:{PLAIN}b\n"
        "bob@example.test:{PLAIN}c::::/home/bob::userdb_mail=mbox:~/mail:INBOX=/var/mail/%n\n");
  f.open();
  const auto ann = f.users->find_user("ANN@Example.Test").value();
  REQUIRE(ann);
  CHECK(ann->name == "ann");
  CHECK(ann->full_name == "Ann Lee");
  CHECK(ann->uid == 1001U);
  CHECK(ann->gid == 1002U);
  CHECK(ann->mail == "/srv/mail/example.test/ann");
  CHECK(ann->quota_octets == 1ULL << 30);
  CHECK(ann->quota_messages == 500);
  CHECK(ann->extra == std::vector<std::pair<std::string, std::string>>{{"color", "blue"}});
  CHECK(f.users->find_user("ann")->has_value());
  CHECK(f.users->find_user("ann@second.test")->has_value());
  CHECK_FALSE(f.users->find_user("ann@elsewhere.test")->has_value());
  CHECK(f.users->find_user("bob@second.test").value()->mail == "/srv/mail/Second.test/Bob");
  const auto bob = f.users->find_user("bob").value();
  CHECK(bob->mbox);
  CHECK(bob->mail == "/var/mail/bob");
  for (const auto* name : {"", ".", "..", "../ann", "a/b", "ann\n", "@example.test", "nobody"})
    CHECK_FALSE(f.users->find_user(name)->has_value());
  CHECK(f.users->is_local_domain("EXAMPLE.test"));
  CHECK_FALSE(f.users->is_local_domain("test"));
}

TEST_CASE("a users file that cannot be understood is told with its line") {
  Fixture f;
  write(f.options.passwd_file, "ann:{PLAIN}x:notanumber\n");
  CHECK(Directory::open(f.options).error().text.find(":1: uid is not a number") != std::string::npos);
  for (const std::string line : {"a/b:x\n", "ann:x:::::home\n", ":x\n", "ann:x::::relative\n",
                                 "ann:x::::/h::userdb_quota_rule=nonsense\n", "ann:x\nann:y\n"}) {
    INFO(line);
    std::vector<PasswdProblem> problems;
    parse_passwd_file(line, problems);
    CHECK(problems.size() == (line == "ann:x:::::home\n" ? 0 : 1));
  }
  f.options.passwd_file = f.directory / "missing";
  CHECK_FALSE(Directory::open(f.options));
}

TEST_CASE("a changed users file counts at once, a broken one leaves the former") {
  Fixture f;
  write(f.options.passwd_file, "ann:{PLAIN}secret\n");
  f.open();
  CHECK(f.users->authenticate("ann", "secret")->has_value());
  write(f.options.passwd_file, "ann:{PLAIN}changed\ncarl:{PLAIN}c\n");
  f.clock.advance(2s);
  CHECK_FALSE(f.users->authenticate("ann", "secret")->has_value());
  CHECK_FALSE(f.users->authenticate_cached("ann", "secret").has_value());
  CHECK(f.users->authenticate("ann", "changed")->has_value());
  CHECK(f.users->find_user("carl")->has_value());
  write(f.options.passwd_file, "ann:x:broken\n");
  f.clock.advance(2s);
  CHECK(f.users->find_user("carl")->has_value());
}

TEST_CASE("passwords: right, wrong, unknown user, empty, no login") {
  Fixture f;
  write(f.options.passwd_file,
        "ann:{PLAIN}secret\nnone:\nlocked:{PLAIN}x::::::nologin\ngarbage:{SSHA}***\n"
        "bob:{SSHA256}7NienY8SKgoedgcNL0KCwJSIQzUrFCeU2al4lJ5Q2CBzYWx0c2FsdA==\n");
  f.open();
  CHECK(f.users->authenticate("ann", "secret").value()->name == "ann");
  CHECK(f.users->authenticate("ann@example.test", "secret").value()->name == "ann");
  CHECK(f.users->authenticate("bob", "s3cret\xc3\xa9")->has_value());
  for (const auto& [name, password] : std::vector<std::pair<std::string, std::string>>{{"ann", "Secret"},
                                                                                       {"ann", ""},
                                                                                       {"nobody", "secret"},
                                                                                       {"none", ""},
                                                                                       {"none", "x"},
                                                                                       {"locked", "x"},
                                                                                       {"", ""},
                                                                                       {"ann\n", "secret"}})
    CHECK_FALSE(f.users->authenticate(name, password)->has_value());
  CHECK(f.users->authenticate("garbage", "x").error().kind == Error::Kind::permanent);
}

TEST_CASE("a right password is remembered for a while, and only that one") {
  Fixture f;
  write(f.options.passwd_file, "ann:{PLAIN}secret\n");
  f.options.positive_cache = 60s;
  f.open();
  CHECK_FALSE(f.users->authenticate_cached("ann", "secret"));
  CHECK(f.users->authenticate("ann", "secret")->has_value());
  CHECK(f.users->authenticate_cached("Ann", "secret").has_value());
  CHECK_FALSE(f.users->authenticate_cached("ann", "other"));
  f.clock.advance(61s);
  CHECK_FALSE(f.users->authenticate_cached("ann", "secret"));
}

TEST_CASE("an unknown name costs as much as a wrong password") {
  Fixture f;
  const auto hash = sasl::make_password("PBKDF2", "secret", {60000});
  write(f.options.passwd_file, "ann:" + *hash + "\n");
  f.options.negative_cache = 0s;
  f.open();
  const auto time = [&](const char* name) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 5; ++i) CHECK_FALSE(f.users->authenticate(name, "wrong")->has_value());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  time("ann");
  const double known = time("ann"), unknown = time("nobody");
  CHECK(unknown > known * 0.5);
  CHECK(unknown < known * 2);
}

TEST_CASE("SCRAM keys: real ones, and lasting made-up ones for the unknown") {
  Fixture f;
  const auto stored = sasl::make_password("SCRAM-SHA-256", "pencil");
  write(f.options.passwd_file, "ann:" + *stored + "\nbob:{PLAIN}pencil\ncarl:{CRYPT}x\n");
  f.open();
  CHECK(f.users->scram_keys("ann", sasl::ScramHash::sha256)->known);
  CHECK_FALSE(f.users->scram_keys("ann", sasl::ScramHash::sha1)->known);
  CHECK(f.users->scram_keys("bob", sasl::ScramHash::sha1)->known);
  CHECK_FALSE(f.users->scram_keys("carl", sasl::ScramHash::sha256)->known);
  const auto unknown = f.users->scram_keys("nobody", sasl::ScramHash::sha256);
  CHECK_FALSE(unknown->known);
  CHECK(unknown->keys.iterations == 4096);
  CHECK(unknown->keys.salt.size() == 16);
  CHECK(unknown->keys.salt == f.users->scram_keys("NOBODY", sasl::ScramHash::sha1)->keys.salt);
  CHECK(unknown->keys.salt != f.users->scram_keys("nobody2", sasl::ScramHash::sha256)->keys.salt);
  CHECK_FALSE(f.users->all_have_scram_keys(sasl::ScramHash::sha256));
  write(f.options.passwd_file, "ann:" + *stored + "\nbob:{PLAIN}pencil\n");
  f.clock.advance(2s);
  CHECK(f.users->find_user("ann")->has_value());
  CHECK(f.users->all_have_scram_keys(sasl::ScramHash::sha256));
  CHECK_FALSE(f.users->all_have_scram_keys(sasl::ScramHash::sha1));
  CHECK_FALSE(f.users->has_plain_secrets());
}

TEST_CASE("quota rules as Dovecot has them") {
  User user;
  CHECK(parse_quota_rule("*:storage=100", user));
  CHECK(user.quota_octets == 100 * 1024);
  CHECK(parse_quota_rule("*:bytes=5M:messages=10", user));
  CHECK(user.quota_octets == 5ULL << 20);
  CHECK(parse_quota_rule("Trash:storage=+100M", user));
  CHECK(user.quota_octets == 5ULL << 20);
  CHECK(parse_quota_rule("*:storage=2GB", user));
  CHECK(user.quota_octets == 2ULL << 30);
  for (const auto* rule : {"", "*", "*:", "*:storage=x", "*:what=1", "*:storage=1Q"})
    CHECK_FALSE(parse_quota_rule(rule, user));
}

TEST_CASE("where the mail is") {
  const auto place = [](std::string name, std::string home, std::string_view pattern) {
    User user{.name = std::move(name), .home = std::move(home)};
    return set_mail_location(user, pattern, "first.test") ? user.mail : std::string("error");
  };
  CHECK(place("ann@example.org", "", "/m/%d/%n/Maildir/") == "/m/example.org/ann/Maildir");
  CHECK(place("ann", "", "/m/%d/%u") == "/m/first.test/ann");
  CHECK(place("ann", "/home/ann", "maildir:~/Maildir:LAYOUT=fs") == "/home/ann/Maildir");
  CHECK(place("ann", "/home/ann", "%h/Maildir") == "/home/ann/Maildir");
  CHECK(place("ann", "", "%h/Maildir") == "error");
  CHECK(place("ann", "", "~/Maildir") == "error");
  CHECK(place("ann", "", "relative") == "error");
  CHECK(place("..@example.org", "", "/m/%d/%n") == "error");
  CHECK(place("ann@..", "", "/m/%d/%n") == "error");
}

TEST_CASE("a checkpassword program decides") {
  Fixture f;
  const auto program = f.directory / "checkpw";
  // As the interface says: name and password on descriptor 3, then it runs its arguments.
  std::ofstream(program) << "#!/bin/sh\n"
                            "data=$(tr '\\000' '\\n' <&3)\n"
                            "set -- \"$(echo \"$data\" | sed -n 1p)\" \"$(echo \"$data\" | sed -n 2p)\" \"$@\"\n"
                            "name=$1; password=$2; shift 2\n"
                            "[ \"$name\" = broken ] && exit 111\n"
                            "if [ \"$AUTHORIZED\" = 1 ]; then [ \"$name\" = ann ] || exit 3; export AUTHORIZED=2;\n"
                            "else [ \"$name:$password\" = ann:secret ] || exit 1; fi\n"
                            "export HOME=/home/$name USER=$name userdb_quota_rule='*:storage=1M'\n"
                            "exec \"$@\"\n";
  chmod(program.c_str(), 0755);
  f.options.passwd_file.clear();
  f.options.checkpassword = {program};
  f.options.mail_root = "%h/Maildir";
  f.open();
  const auto ann = f.users->authenticate("ann", "secret").value();
  REQUIRE(ann);
  CHECK(ann->mail == "/home/ann/Maildir");
  CHECK(ann->quota_octets == 1 << 20);
  CHECK(f.users->authenticate_cached("ann", "secret").has_value());
  CHECK_FALSE(f.users->authenticate("ann", "wrong")->has_value());
  CHECK_FALSE(f.users->authenticate("ann", std::string("secret\0x", 8))->has_value());
  CHECK(f.users->authenticate("broken", "x").error().kind == Error::Kind::temporary);
  CHECK(f.users->find_user("ann")->has_value());
  CHECK_FALSE(f.users->find_user("bob")->has_value());
}

TEST_CASE("system users have a mailbox, services have none") {
  Fixture f;
  f.options.passwd_file.clear();
  f.options.system_users = true;
  f.options.mail_root = "%h/Maildir";
  f.open();
  CHECK_FALSE(f.users->find_user("root")->has_value());
  CHECK_FALSE(f.users->find_user("daemon")->has_value());
  f.options.least_system_uid = 1;
  f.open();
  const auto user = f.users->find_user("daemon@example.test").value();
  REQUIRE(user);
  CHECK(user->name == "daemon");
  CHECK(user->uid == 1U);
  CHECK_FALSE(f.users->authenticate("daemon", "")->has_value());
  CHECK_FALSE(f.users->authenticate("daemon", "*")->has_value());
}

TEST_CASE("--check tells what cannot be understood in the files of users and aliases, with its line") {
  const mail::test::TemporaryDirectory directory;
  config::Settings settings;
  settings.users.passwd_file = directory / "users";
  settings.users.aliases_file = directory / "aliases";
  CHECK(file_problems(settings).empty());  // that they are missing is told where they are named
  write(settings.users.passwd_file,
        "ann:{FOO}x::::::\nbob:{PLAIN}x:a:b::::\n\nbob:{PLAIN}x::::::\nbob:{plain}y::::::\n");
  write(settings.users.aliases_file, "list: ann, bob\nno target:\nx\nlist: ann\n");
  const auto users = settings.users.passwd_file, aliases = settings.users.aliases_file;
  CHECK(file_problems(settings) ==
        std::vector<std::string>{
            users + ":1: unknown password scheme {FOO}: this user cannot log in", users + ":2: uid is not a number",
            users + ":5: the user is defined twice; the first entry counts", aliases + ":2: no target for no target",
            aliases + ":3: an entry is `name: target, ...`", aliases + ":4: list is defined twice; the first counts"});
  // A scheme that we do not know bars one user, not all.
  write(settings.users.passwd_file, "ann:{FOO}x::::::\nbob:{PLAIN}x::::::\n");
  auto options = options_from(settings);
  options.aliases_file.clear();
  CHECK(Directory::open(options));
  settings.users.aliases_file = directory / "";
  settings.users.passwd_file.clear();
  CHECK(file_problems(settings).size() == 1);
}
