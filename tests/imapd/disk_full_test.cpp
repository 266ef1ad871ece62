// A full disk during each command that writes: NO with UNAVAILABLE, and everything is as before.
#include <catch2/catch.hpp>
#include <cerrno>

#include "base/strings.h"
#include "tests/imapd/harness.h"

using namespace mail;

namespace {

/// Every call that needs room fails while it is full.
class FullDisk final : public Disk {
 public:
  bool full = false;

  Result<Directory> open_directory(const std::string& path) override { return disk_.open_directory(path); }
  Result<Directory> open_directory_at(const Directory& parent, const std::string& name) override {
    return disk_.open_directory_at(parent, name);
  }
  Result<UniqueFd> open(const Directory& directory, const std::string& name, int flags, mode_t mode) override {
    return disk_.open(directory, name, flags, mode);  // an inode may be left where no block is
  }
  Status write(int fd, std::string_view octets) override { return room() ? disk_.write(fd, octets) : none(); }
  Status pwrite(int fd, std::string_view octets, std::uint64_t offset) override {
    return room() ? disk_.pwrite(fd, octets, offset) : none();
  }
  Status truncate(int fd, std::uint64_t octets) override { return room() ? disk_.truncate(fd, octets) : none(); }
  Status allocate(int fd, std::uint64_t offset, std::uint64_t octets) override {
    return room() ? disk_.allocate(fd, offset, octets) : none();
  }
  Status sync(int fd) override { return disk_.sync(fd); }
  Status sync_data(int fd) override { return disk_.sync_data(fd); }
  Status sync_directory(const Directory& directory) override { return disk_.sync_directory(directory); }
  Status sync_filesystem(const Directory& directory) override { return disk_.sync_filesystem(directory); }
  Status close(UniqueFd fd) override { return disk_.close(std::move(fd)); }
  Status rename(const Directory& from, const std::string& old_name, const Directory& to,
                const std::string& new_name) override {
    return disk_.rename(from, old_name, to, new_name);
  }
  Status link(const Directory& from, const std::string& old_name, const Directory& to,
              const std::string& new_name) override {
    return disk_.link(from, old_name, to, new_name);
  }
  Status unlink(const Directory& directory, const std::string& name) override { return disk_.unlink(directory, name); }
  Status make_directory(const Directory& parent, const std::string& name, mode_t mode) override {
    return room() ? disk_.make_directory(parent, name, mode) : none();
  }
  Status remove_directory(const Directory& parent, const std::string& name) override {
    return disk_.remove_directory(parent, name);
  }

 private:
  bool room() const { return !full; }
  static Status none() { return fail_errno("writing", {}, ENOSPC); }
  Disk& disk_ = Disk::system();
};

/// Everything that a client can see.
std::string state_of(const std::shared_ptr<test::ImapWorld>& world) {
  test::ImapConversation session(world, {{"user", "ann"}});
  session.greeting();
  return session.receive(
      "a LIST \"\" * RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN DELETED UIDNEXT))\r\n"
      "b GETMETADATA INBOX /private/comment\r\n"
      "c GETMETADATA \"\" /private/comment\r\n"
      "d GETACL INBOX\r\n"
      "e EXAMINE INBOX\r\nf FETCH 1:* (UID FLAGS)\r\n");
}

}  // namespace

TEST_CASE("a full disk during a command") {
  for (const std::string command :
       {"APPEND INBOX {4+}\r\na: b", "APPEND Other (\\Seen new) {4+}\r\na: b", "COPY 1:2 Other", "MOVE 1:2 Other",
        "MOVE 1 INBOX", "STORE 1:* +FLAGS (\\Flagged)", "STORE 1 +FLAGS.SILENT (another)", "EXPUNGE", "UID EXPUNGE 2",
        "REPLACE 1 INBOX {4+}\r\na: b", "CREATE New", "RENAME INBOX Old", "SUBSCRIBE Other", "UNSUBSCRIBE INBOX",
        "SETMETADATA INBOX (/private/comment \"x\")", "SETMETADATA \"\" (/private/comment \"x\")",
        "SETACL INBOX bob lr"}) {
    INFO(command);
    FullDisk disk;
    auto world = std::make_shared<test::ImapWorld>(
        test::TranscriptSettings{{"load", "INBOX:basic.mbox,Other:basic.mbox"}}, disk);
    {
      test::ImapConversation session(world, {{"user", "ann"}, {"select", "INBOX"}});
      session.greeting();
      session.receive("a STORE 2 +FLAGS.SILENT (\\Deleted)\r\nb SUBSCRIBE INBOX\r\n");
      const auto before = state_of(world);
      disk.full = true;
      const auto answer = session.receive("x " + command + "\r\n");
      disk.full = false;
      const auto at = answer.rfind("x ");
      REQUIRE(at != std::string::npos);
      CHECK(answer.substr(at).starts_with("x NO [UNAVAILABLE] "));
      CHECK(answer.find(" EXPUNGE\r\n") == std::string::npos);
      CHECK(state_of(world) == before);
      // And with room again it goes.
      const auto again = session.receive("y " + command + "\r\n");
      CHECK(again.find("y OK ") != std::string::npos);
    }
  }
}
