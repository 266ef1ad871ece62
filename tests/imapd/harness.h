// The session core over a real store in a temporary directory, without sockets: for transcripts and other tests.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "directory/directory.h"
#include "imapd/session.h"
#include "store/store.h"
#include "tests/support/fixtures.h"
#include "tests/support/transcript.h"

namespace mail::test {

/// Users ann and bob (password `secret`), each with an account of its own.
class ImapWorld {
 public:
  explicit ImapWorld(const TranscriptSettings& settings = {}, Disk& disk = Disk::system());
  imapd::Environment& environment() { return environment_; }
  std::string maildir(const std::string& user) const { return directory_ / ("mail/" + user); }
  /// Appends the messages of an mbox file of tests/imapd/mail to a mailbox, made where it is missing.
  void load(const std::string& user, const std::string& mailbox, const std::string& mbox);
  void append(const std::string& user, const std::string& mailbox, const std::string& message);

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<directory::Directory> users_;
  imapd::Environment environment_;
};

/// Settings of a transcript: `user=ann` begins logged in, `select=INBOX` with that mailbox selected,
/// `load=INBOX:basic.mbox,Sent:x.mbox`, `encrypted=1`, `plaintext=1`, `errors=N`, `append_octets=N`, `line_octets=N`,
/// `separator=/`; `user2=bob`: whose the second session is, with nothing selected; `administrator=ann`,
/// `message_limit=N`, `other_users=user`, `submitters=USER` (imap.url_submitters), `watch=1` (inotify), `poll=SECONDS`,
/// `quota=OCTETS` (ann's), `utf8_only=1`.
class ImapConversation final : public Conversation {
 public:
  ImapConversation(std::shared_ptr<ImapWorld> world, const TranscriptSettings& settings, int number = 1);
  std::string greeting() override;
  std::string receive(std::string_view octets) override;
  std::string pending() override;
  void start_tls() override;
  bool closed() const override { return closed_; }

 private:
  std::string drive();
  std::shared_ptr<ImapWorld> world_;
  TranscriptSettings settings_;
  std::shared_ptr<std::atomic<int>> woken_ = std::make_shared<std::atomic<int>>(0);
  std::unique_ptr<imapd::Session> session_;
  bool closed_ = false;
  bool awaits_tls_ = false;
};

TranscriptFactory imap_factory();

}  // namespace mail::test
