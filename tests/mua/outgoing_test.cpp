#include "mua/outgoing.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "mua/compose.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::mua;

namespace {
Outgoing message_to(const std::string& recipient) {
  Draft draft;
  draft.from = message::parse_mailboxes("ann@example.net");
  draft.to = message::parse_mailboxes(recipient);
  draft.body = "text\n";
  return *compose(draft, "host.example");
}
}  // namespace

TEST_CASE("the outbox keeps a message until it is removed") {
  const test::TemporaryDirectory directory;
  const auto outbox = directory / "a/b/outbox";
  CHECK(list_outbox(outbox)->empty());
  const auto first = message_to("bob@example.net");
  REQUIRE(keep_in_outbox(first, outbox));
  REQUIRE(keep_in_outbox(message_to("carol@example.net"), outbox));
  auto entries = list_outbox(outbox);
  REQUIRE(entries);
  REQUIRE(entries->size() == 2);
  CHECK(entries->front().message.content == first.content);
  CHECK(entries->front().message.envelope.recipients == first.envelope.recipients);
  CHECK(entries->front().message.envelope.id == first.envelope.id);
  REQUIRE(remove_from_outbox(entries->front().name, outbox));
  CHECK(list_outbox(outbox)->size() == 1);
  CHECK((std::filesystem::status(outbox).permissions() & std::filesystem::perms::others_all) ==
        std::filesystem::perms::none);
}

TEST_CASE("while the host is away the message is kept; without any way it is refused") {
  const test::TemporaryDirectory directory;
  const auto outbox = directory / "outbox";
  Way away;
  away.host_name = "host.example";
  away.submission = Login{*parse_url("submission://127.0.0.1:1"), {}, {}, {}};
  const auto kept = send(message_to("bob@example.net"), away, outbox);
  REQUIRE(kept);
  CHECK(kept->how == Sent::How::kept);
  CHECK(list_outbox(outbox)->size() == 1);
  Way none;
  none.spool_directory = directory / "no-spool";
  const auto refused = send(message_to("bob@example.net"), none, outbox);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == Error::Kind::permanent);
  CHECK(list_outbox(outbox)->size() == 1);
}
