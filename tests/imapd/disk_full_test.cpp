// A full disk during each command that writes: NO with UNAVAILABLE, and everything is as before.
#include <catch2/catch.hpp>

#include "base/strings.h"
#include "tests/imapd/harness.h"
#include "tests/support/full_disk.h"

using namespace mail;

namespace {

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
    test::FullDisk disk(true);
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
