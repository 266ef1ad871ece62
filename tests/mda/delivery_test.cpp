#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "mda/agent.h"
#include "mda/local_queue.h"
#include "mda/pipe_mode.h"
#include "tests/mda/support.h"

using namespace mail;
using namespace mail::mda;
using namespace std::chrono_literals;
using mail::mda::test::Site;

namespace {

const std::string kMessage = "Received: from a by b\r\nSubject: x\r\n\r\nbody\r\n";

Outcome deliver(Environment& environment, Addressee to, std::string_view message = kMessage,
                std::string sender = "s@example.net") {
  const Item item{.content = message, .reverse_path = std::move(sender), .received = {}, .addressees = {std::move(to)}};
  return environment.agent->deliver(std::span(&item, 1))[0][0];
}

MessageId put(Site& site, const std::vector<std::string>& recipients, const std::string& message = kMessage) {
  auto envelope = new_envelope("s@example.net", recipients, "SMTP", Clock::system().now());
  REQUIRE(site.environment->writer->put({{spool::Box::local, envelope}}, message));
  return envelope.id;
}

std::vector<spool::Envelope> envelopes(Site& site, spool::Box box) {
  std::vector<spool::Envelope> out;
  const auto ids = site.environment->spool->list(box).value();
  for (const auto& id : ids) out.push_back(*spool::read_envelope(*site.environment->spool, box, id));
  return out;
}

std::size_t run(Site& site, const Clock& clock = Clock::system()) {
  LocalQueue queue(site.settings, *site.environment->spool, *site.environment->agent, *site.environment->writer,
                   *site.environment->done, clock);
  return *queue.run_once();
}

}  // namespace

TEST_CASE("a message goes to a Maildir with its envelope in front") {
  Site site;
  auto& environment = site.open(false);
  CHECK(deliver(environment, {.forward_path = "ann+x@example.test", .user = "ann", .detail = "x"}).ok());
  REQUIRE(site.messages("ann").size() == 1);
  CHECK(site.messages("ann")[0] ==
        "Return-Path: <s@example.net>\nDelivered-To: ann+x@example.test\nReceived: from a by b\nSubject: x\n\nbody\n");
}

TEST_CASE("a repeated delivery finds itself") {
  Site site;
  auto& environment = site.open(false);
  for (int i = 0; i < 3; ++i)
    CHECK(deliver(environment, {.forward_path = "ann@example.test", .user = "ann", .key = "ID-0"}).ok());
  CHECK(site.messages("ann").size() == 1);
  CHECK(deliver(environment, {.forward_path = "ann@example.test", .user = "ann", .key = "ID-1"}).ok());
  CHECK(site.messages("ann").size() == 2);
}

TEST_CASE("loops, unknown users, full mailboxes") {
  Site site;
  auto& environment = site.open(false);
  const std::string looped = "Received: a\r\nDelivered-To: ann@example.test\r\n\r\nx\r\n";
  CHECK(deliver(environment, {.forward_path = "ann@example.test", .user = "ann"}, looped).status == "5.4.6");
  std::string hops;
  for (int i = 0; i < 51; ++i) hops += "Received: x\r\n";
  CHECK(deliver(environment, {.forward_path = "ann@example.test", .user = "ann"}, hops + "\r\n").status == "5.4.6");
  CHECK(deliver(environment, {.forward_path = "x@example.test", .user = "nobody"}).status == "5.1.1");
  CHECK(deliver(environment, {.forward_path = "x@example.test"}).status == "5.1.1");
  const std::string big = "Subject: x\r\n\r\n" + std::string(3000, 'x') + "\r\n";
  CHECK(deliver(environment, {.forward_path = "small@example.test", .user = "small"}, big).status == "4.2.2");
  site.settings.mda.quota_full_bounces = true;
  CHECK(deliver(environment, {.forward_path = "small@example.test", .user = "small"}, big).status == "5.2.2");
  CHECK(deliver(environment, {.forward_path = "small@example.test", .user = "small"}).ok());
}

TEST_CASE("mailboxes: named, by detail, missing") {
  Site site("[mda]\ndetail_mailbox = true\n");
  auto& environment = site.open(false);
  CHECK(deliver(environment, {.forward_path = "ann@example.test", .user = "ann", .mailbox = "Lists"}).ok());
  CHECK(site.messages("ann", ".Lists").size() == 1);
  CHECK(deliver(environment, {.forward_path = "ann+Lists@example.test", .user = "ann", .detail = "Lists"}).ok());
  CHECK(site.messages("ann", ".Lists").size() == 2);
  CHECK(deliver(environment, {.forward_path = "ann+none@example.test", .user = "ann", .detail = "none"}).ok());
  CHECK(deliver(environment, {.forward_path = "ann+x@example.test", .user = "ann", .detail = "../../bob"}).ok());
  CHECK(site.messages("ann").size() == 2);
}

TEST_CASE("mbox users, files and programs of aliases") {
  Site site("[run]\nuser = \"nobody\"\n",
            "robot: \"|/bin/grep -q body\", DIR/mbox/archive, DIR/mail/box/, /dev/null\n");
  auto& environment = site.open(false);
  CHECK(deliver(environment, {.forward_path = "old@example.test", .user = "old"}).ok());
  CHECK(mail::test::read_path(site.directory / "mbox/old").starts_with("From s@example.net "));
  // As root the program runs as run.user.
  CHECK(deliver(environment, {.forward_path = "robot@example.test"}).ok());
  CHECK(mail::test::read_path(site.directory / "mbox/archive").find("\n\nbody\n\n") != std::string::npos);
  CHECK(site.messages("box").size() == 1);
}

TEST_CASE("a .forward sends mail on through the queue, and keeps a copy") {
  Site site("[mda]\nforward_files = true\n");
  std::ofstream(site.directory / "home/ann/.forward") << "\\ann, far@example.net, bob\n";
  auto& environment = site.open();
  CHECK(deliver(environment, {.forward_path = "ann@example.test", .user = "ann"}).ok());
  CHECK(site.messages("ann").size() == 1);
  const auto queued = envelopes(site, spool::Box::queue);
  REQUIRE(queued.size() == 1);
  CHECK(queued[0].reverse_path == "s@example.net");
  REQUIRE(queued[0].recipients.size() == 2);
  CHECK(queued[0].recipients[0].forward_path == "far@example.net");
  CHECK(queued[0].recipients[1].forward_path == "bob@example.test");
  const auto stored = spool::StoredMessage::open(*environment.spool, spool::Box::queue, queued[0].id);
  // No Return-Path: whoever delivers it at last writes that.
  CHECK(stored->content().starts_with("Delivered-To: ann@example.test\r\n"));
  CHECK_FALSE(queued[0].tls_optional);
}

TEST_CASE("what a .forward sends on keeps what its sender asked of TLS, and that it needs SMTPUTF8") {
  Site site("[mda]\nforward_files = true\n");
  std::ofstream(site.directory / "home/ann/.forward") << "far@example.net\n";
  site.open();
  const auto sent_on = [&](const std::string& message, bool require_tls) {
    auto envelope = new_envelope("s@example.net", {"ann@example.test"}, "UTF8SMTPS", Clock::system().now());
    envelope.recipients[0].user = "ann";
    envelope.require_tls = envelope.smtputf8 = require_tls;
    REQUIRE(site.environment->writer->put({{spool::Box::local, envelope}}, message));
    CHECK(run(site) == 0);
    const auto queued = envelopes(site, spool::Box::queue);
    REQUIRE(queued.size() == 1);
    REQUIRE(spool::remove(*site.environment->spool, spool::Box::queue, queued[0].id));
    return queued[0];
  };
  const auto required = sent_on("TLS-Required: No\r\nSubject: gr\xc3\xbc\xc3\x9f\x65\r\n\r\nbody\r\n", true);
  CHECK(required.require_tls);
  CHECK_FALSE(required.tls_optional);  // REQUIRETLS stands above the field (RFC 8689 section 4.1)
  CHECK(required.smtputf8);
  const auto optional = sent_on("TLS-Required: No\r\nSubject: x\r\n\r\nbody\r\n", false);
  CHECK_FALSE(optional.require_tls);
  CHECK(optional.tls_optional);
  CHECK_FALSE(optional.smtputf8);
}

TEST_CASE("spool/local is emptied in batches, once each") {
  Site site;
  site.open();
  std::vector<MessageId> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(put(site, {"ann@example.test", "bob@example.test"}));
  CHECK(run(site) == 0);
  CHECK(site.messages("ann").size() == 100);
  CHECK(site.messages("bob").size() == 100);
  CHECK(envelopes(site, spool::Box::local).empty());
  CHECK(envelopes(site, spool::Box::queue).empty());
}

TEST_CASE("the router's answer in the envelope is used") {
  Site site;
  site.open();
  auto envelope = new_envelope("", {"whatever@example.test"}, "SMTP", Clock::system().now());
  envelope.recipients[0].user = "carl";
  REQUIRE(site.environment->writer->put({{spool::Box::local, envelope}}, kMessage));
  CHECK(run(site) == 0);
  REQUIRE(site.messages("carl").size() == 1);
  CHECK(site.messages("carl")[0].starts_with("Return-Path: <>\nDelivered-To: whatever@example.test\n"));
}

TEST_CASE("a failure for good becomes relay's, with its reason; the others are delivered") {
  Site site;
  site.open();
  const auto id = put(site, {"ann@example.test", "nobody@example.test"});
  CHECK(run(site) == 0);
  CHECK(site.messages("ann").size() == 1);
  CHECK(envelopes(site, spool::Box::local).empty());
  const auto queued = envelopes(site, spool::Box::queue);
  REQUIRE(queued.size() == 1);
  CHECK(queued[0].id != id);
  REQUIRE(queued[0].recipients.size() == 1);
  CHECK(queued[0].recipients[0].forward_path == "nobody@example.test");
  CHECK(queued[0].recipients[0].state == spool::RecipientState::failed);
  CHECK(spool::read_log(*site.environment->spool, spool::Box::queue, queued[0].id)
            .find(" 0 - 5.1.1 550 5.1.1 No such user here") != std::string::npos);
}

TEST_CASE("a success report that was asked for becomes relay's") {
  Site site;
  site.open();
  auto envelope = new_envelope("s@example.net", {"ann@example.test"}, "SMTP", Clock::system().now());
  envelope.recipients[0].notify.success = true;
  REQUIRE(site.environment->writer->put({{spool::Box::local, envelope}}, kMessage));
  CHECK(run(site) == 0);
  const auto queued = envelopes(site, spool::Box::queue);
  REQUIRE(queued.size() == 1);
  CHECK(queued[0].recipients[0].state == spool::RecipientState::report_success);
}

TEST_CASE("what fails for now is kept with its state, tried again later, and given up in the end") {
  Site site;
  site.open();
  const std::string big = "Subject: x\r\n\r\n" + std::string(3000, 'x') + "\r\n";
  const auto id = put(site, {"small@example.test", "ann@example.test"}, big);
  CHECK(run(site) == 1);
  CHECK(site.messages("ann").size() == 1);
  const auto kept = spool::read_envelope(*site.environment->spool, spool::Box::local, id);
  REQUIRE(kept);
  CHECK(kept->recipients[0].state == spool::RecipientState::waiting);
  CHECK(kept->recipients[1].state == spool::RecipientState::delivered);
  CHECK(kept->attempts == 1);
  CHECK(kept->next_attempt > Clock::system().now() + 20s);
  // Not due: nothing happens.
  CHECK(run(site) == 1);
  CHECK(site.messages("ann").size() == 1);
  ManualClock clock(Clock::system().now() + 24h);
  CHECK(run(site, clock) == 1);
  clock.set(Clock::system().now() + 24h * 6);
  CHECK(run(site, clock) == 0);
  CHECK(envelopes(site, spool::Box::local).empty());
  const auto queued = envelopes(site, spool::Box::queue);
  REQUIRE(queued.size() == 1);
  CHECK(queued[0].recipients.size() == 1);
  CHECK(spool::read_log(*site.environment->spool, spool::Box::queue, queued[0].id).find("4.2.2") != std::string::npos);
}

TEST_CASE("a damaged spool file is set aside") {
  Site site;
  site.open();
  const auto id = put(site, {"ann@example.test"});
  const auto path = site.directory / ("spool/local/" + id.text());
  {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY));
    REQUIRE(::pwrite(fd.get(), "X", 1, static_cast<off_t>(std::filesystem::file_size(path) - 3)) == 1);
  }
  CHECK(run(site) == 0);
  CHECK(site.messages("ann").empty());
  CHECK(site.environment->spool->exists(spool::Box::corrupt, id));
}

TEST_CASE("the daemon delivers what comes, and ends") {
  Site site;
  auto& e = site.open();
  LocalQueue queue(site.settings, *e.spool, *e.agent, *e.writer, *e.done);
  put(site, {"ann@example.test"});
  REQUIRE(queue.start());
  put(site, {"ann@example.test"});
  for (int i = 0; i < 500 && site.messages("ann").size() < 2; ++i) std::this_thread::sleep_for(10ms);
  CHECK(site.messages("ann").size() == 2);
  queue.stop();
}

TEST_CASE("pipe mode: who, from whom, and the exit code") {
  Site site;
  const auto deliver_to = [&](std::string user, std::optional<std::string> sender, std::string_view message) {
    return deliver_one(site.settings, {.user = std::move(user), .sender = std::move(sender), .as_root = true}, message);
  };
  CHECK(deliver_to("ann", "<bob@example.net>", "Subject: 1\n\nx\n").ok());
  CHECK(
      deliver_to("bob@example.test", std::nullopt, "From carl@example.net Sun Nov 22 03:00:00 2026\nSubject: 2\n\nx\n")
          .ok());
  CHECK(deliver_to("carl+d@example.test", "", "Delivered-To: carl@example.test\nReceived: from here\nSubject: 3\n\nx\n")
            .ok());
  CHECK(exit_code(deliver_to("nobody", "", "x")) == 67);
  CHECK(exit_code(deliver_to("../etc", "", "x")) == 67);
  CHECK(site.messages("ann")[0] == "Return-Path: <bob@example.net>\nDelivered-To: ann@example.test\nSubject: 1\n\nx\n");
  CHECK(site.messages("bob")[0] ==
        "Return-Path: <carl@example.net>\nDelivered-To: bob@example.test\nSubject: 2\n\nx\n");
  CHECK(site.messages("carl")[0].starts_with("Return-Path: <>\nDelivered-To: carl@example.test\nDelivered-To: carl"));
  std::filesystem::remove(site.directory / "users");
  CHECK(exit_code(deliver_to("ann", "", "x")) == 75);
}

TEST_CASE("a message from a pipe has a limit") {
  int fds[2];
  REQUIRE(pipe(fds) == 0);
  const UniqueFd out(fds[0]);
  {
    const UniqueFd in(fds[1]);
    REQUIRE(write(in.get(), "0123456789", 10) == 10);
  }
  CHECK(read_message(out.get(), 9).error().kind == Error::Kind::permanent);
  CHECK(read_message(-1, 9).error().kind == Error::Kind::temporary);
}
