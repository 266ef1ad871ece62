// NOTIFY and what other programs do to a Maildir that no session has open.
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/imapd/harness.h"

using namespace mail;
namespace fs = std::filesystem;

namespace {

/// What the session says until `expected` is in it, twenty seconds at most.
std::string wait_for(test::ImapConversation& session, const std::string& expected) {
  std::string said;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (said.find(expected) == std::string::npos && std::chrono::steady_clock::now() < end) said += session.pending();
  return said;
}

/// As another delivery program does it.
void deliver(const fs::path& folder, const std::string& name) {
  std::ofstream(folder / "tmp" / name) << "Subject: x\n\nbody\n";
  fs::rename(folder / "tmp" / name, folder / "new" / name);
}

void hears_of_other_programs(const test::TranscriptSettings& settings) {
  const auto world = std::make_shared<test::ImapWorld>(settings);
  world->append("ann", "Lists", "A: b\r\n\r\n");
  test::ImapConversation session(world, settings);
  session.greeting();
  session.receive(
      "a NOTIFY SET STATUS (personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange "
      "MailboxMetadataChange ServerMetadataChange))\r\n");
  const fs::path root = world->maildir("ann");
  const auto lists = root / ".Lists";

  deliver(lists, "1700000000.1.other");
  const auto told = wait_for(session, "\r\n");
  CHECK(told.starts_with("* STATUS Lists (MESSAGES 2 UIDNEXT 3 UNSEEN 2 UIDVALIDITY "));
  CHECK(told.find('\n') == told.size() - 1);

  // Flags, by another server: the name changes.
  fs::path named;
  for (const auto& entry : fs::directory_iterator(lists / "cur")) named = entry.path();
  if (named.empty())
    for (const auto& entry : fs::directory_iterator(lists / "new")) named = entry.path();
  const auto base = named.filename().string().substr(0, named.filename().string().find(":2,"));
  fs::rename(named, lists / "cur" / (base + ":2,S"));
  CHECK(wait_for(session, "UNSEEN 1").find("* STATUS Lists (UNSEEN 1 UIDVALIDITY ") != std::string::npos);

  // Notes, by another server of ours.
  const auto put = [](const fs::path& folder, const std::string& file, const std::string& text) {
    std::ofstream(folder / (file + ".part")) << text;
    fs::rename(folder / (file + ".part"), folder / file);
  };
  put(lists, "relais-mailbox", "/shared/comment\tx\n");
  CHECK(wait_for(session, "comment").find("* METADATA Lists /shared/comment\r\n") != std::string::npos);
  put(lists, "relais-mailbox", "/shared/comment\ty\n/private/other\tz\nspecial-use\t\\Sent\n");
  const auto both = wait_for(session, "comment");
  CHECK(both.find("* METADATA Lists /shared/comment\r\n") != std::string::npos);
  fs::remove(lists / "relais-mailbox");
  const auto gone = wait_for(session, "comment");
  CHECK(gone.find("* METADATA Lists /shared/comment\r\n") != std::string::npos);
  put(root, "relais-account", "/shared/admin\tx\nquota\t5 5\n");
  CHECK(wait_for(session, "admin").find("* METADATA \"\" /shared/admin\r\n") != std::string::npos);
  put(root, "relais-mailbox", "/private/own\tx\n");
  CHECK(wait_for(session, "own").find("* METADATA INBOX /private/own\r\n") != std::string::npos);

  // A mailbox that another program makes is watched from then on.
  for (const auto* part : {"cur", "new", "tmp"}) fs::create_directories(root / ".Made" / part);
  CHECK(wait_for(session, "Made") == "* LIST (\\HasNoChildren) \".\" Made\r\n");
  deliver(root / ".Made", "1700000000.2.other");
  CHECK(wait_for(session, "STATUS").starts_with("* STATUS Made (MESSAGES 1 UIDNEXT 2"));
  fs::rename(root / ".Made", root / "no-folder");
  CHECK(wait_for(session, "NonExistent").find("* LIST (\\NonExistent) \".\" Made\r\n") != std::string::npos);
}

}  // namespace

TEST_CASE("NOTIFY hears of other programs at once") {
  hears_of_other_programs({{"user", "ann"}, {"watch", "1"}, {"separator", "."}});
}

TEST_CASE("NOTIFY hears of other programs where there is no inotify") {
  hears_of_other_programs({{"user", "ann"}, {"poll", "1"}, {"separator", "."}});
}
