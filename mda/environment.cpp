#include "mda/environment.h"

#include "base/log.h"
#include "base/strings.h"
#include "directory/from_settings.h"
#include "mda/message_text.h"
#include "message/tls_required.h"
#include "route/from_settings.h"
#include "spool/drop.h"
#include "spool/journal.h"
#include "store/from_settings.h"

namespace mail::mda {
namespace {

/// The spool keeps CRLF.
std::string with_crlf(std::string_view message) { return replace_all(with_lf(message), "\n", "\r\n"); }

spool::Envelope envelope_of(const Onward& message) {
  auto envelope = new_envelope(message.reverse_path, message.recipients, "local", Clock::system().now());
  envelope.smtputf8 = envelope.smtputf8 || message.smtputf8;
  envelope.require_tls = message.require_tls;
  envelope.tls_optional = !message.require_tls && message::tls_is_optional(message.content);
  return envelope;
}

/// Opened for the one forward it is for: most deliveries forward nothing.
Status inject_by_drop(const config::Settings& settings, const Onward& message) {
  MAIL_TRY(spool, spool::Spool::open(settings.spool.directory, {.create = false, .drop_only = true}));
  return spool::drop(spool, envelope_of(message), with_crlf(message.content));
}

}  // namespace

spool::Envelope new_envelope(const std::string& reverse_path, const std::vector<std::string>& recipients,
                             std::string protocol, WallTime now) {
  spool::Envelope envelope;
  envelope.id = MessageId::generate();
  envelope.arrival = now;
  envelope.protocol = std::move(protocol);
  envelope.reverse_path = reverse_path;
  envelope.body = spool::BodyType::eight_bit_mime;
  for (const auto& recipient : recipients) {
    envelope.recipients.push_back({.forward_path = recipient});
    envelope.smtputf8 = envelope.smtputf8 || !is_ascii(recipient);
  }
  envelope.smtputf8 = envelope.smtputf8 || !is_ascii(reverse_path);
  return envelope;
}

Result<std::unique_ptr<Environment>> Environment::open(const config::Settings& settings, bool with_spool,
                                                       Agent::Options options, Disk& disk) {
  auto environment = std::make_unique<Environment>();
  auto& e = *environment;
  MAIL_TRY(users, directory::Directory::open(directory::options_from(settings)));
  e.users = std::move(users);
  e.router.emplace(*e.users, route::options_from(settings));
  auto store_settings = store::settings_from(settings);
  store_settings.watch = false;  // a delivery agent shows no mailbox
  MAIL_TRY(store, store::Store::open(store_settings, disk));
  e.store = std::move(store);
  Inject inject = [&settings](const Onward& message) { return inject_by_drop(settings, message); };
  if (with_spool) {
    MAIL_TRY(spool, spool::Spool::open(settings.spool.directory, {}, disk));
    e.spool.emplace(std::move(spool));
    MAIL_TRY(recovered, spool::recover(*e.spool));
    static_cast<void>(recovered);
    MAIL_TRY(writer, spool::Writer::open(*e.spool, "mda",
                                         {.small_message_octets = settings.spool.journal_message,
                                          .segment_octets = settings.spool.journal_segment}));
    e.writer = std::move(writer);
    MAIL_TRY(done, spool::DoneJournal::open(*e.spool, "mda"));
    e.done = std::move(done);
    inject = [writer_pointer = e.writer.get()](const Onward& message) {
      return writer_pointer->put({{spool::Box::queue, envelope_of(message)}}, with_crlf(message.content));
    };
  }
  e.agent = std::make_unique<Agent>(settings, *e.users, *e.router, *e.store, std::move(inject), std::move(options),
                                    Clock::system(), disk);
  return environment;
}

}  // namespace mail::mda
