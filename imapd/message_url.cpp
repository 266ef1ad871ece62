#include "imapd/message_url.h"

#include "imapd/session.h"

namespace mail::imapd {

namespace {
Result<std::shared_ptr<store::View>> open_mailbox(store::Account& account, const std::string& name,
                                                  const imap::MessageUrl& url) {
  MAIL_TRY(view, account.select(name, true));
  if (url.uid_validity && *url.uid_validity != store::number(view->uid_validity()))
    return fail(Error::Kind::not_found, "UIDVALIDITY is another one");
  return std::move(view);
}
}  // namespace

Result<std::shared_ptr<store::View>> open_url_mailbox(const Session& session, store::Account& account,
                                                      const imap::MessageUrl& url) {
  MAIL_TRY(name, session.mailbox_from_utf8(url.mailbox));
  return open_mailbox(account, name, url);
}

Result<std::shared_ptr<store::View>> open_readable_url_mailbox(Session& session, const imap::MessageUrl& url) {
  MAIL_TRY(name, session.mailbox_from_utf8(url.mailbox));
  Place place;
  if (resolve(session, name, "r", place)) return fail(Error::Kind::not_found, "No such mailbox");
  return open_mailbox(*place.account, place.name, url);
}

Result<BodyOctets> open_url_body(store::View& view, const imap::MessageUrl& url) {
  MAIL_TRY(file, view.open_message(store::Uid{url.uid}));
  MessageContent content(std::move(file));
  auto body = content.body(url.section.value_or(imap::Section{}));
  if (!body) return fail(Error::Kind::not_found, "The message has no such part");
  if (url.partial) body->cut(*url.partial);
  return std::move(*body);
}

}  // namespace mail::imapd
