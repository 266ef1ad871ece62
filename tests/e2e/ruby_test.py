"""Ruby's net/imap, net/pop, net/smtp."""
import subprocess

from chain import Skip, has, need, run

SCRIPT = r'''
require 'net/imap'; require 'net/pop'; require 'net/smtp'; require 'openssl'
host, smtp, imap, imaps, pop3s, user, pass, ca, from, to = ARGV
context = OpenSSL::SSL::SSLContext.new; context.ca_file = ca; context.verify_mode = OpenSSL::SSL::VERIFY_PEER
s = Net::SMTP.new(host, smtp.to_i); s.enable_starttls(context)
s.start('client.example', user, pass, :plain) { |x| x.send_message("From: #{from}\r\nTo: #{to}\r\nSubject: from ruby\r\n\r\n.\r\n..x\r\n", from, to) }
c = Net::IMAP.new(host, port: imap.to_i); c.starttls({ca_file: ca}); c.authenticate('PLAIN', user, pass)
c.create('Ruby'); c.subscribe('Ruby'); raise 'list' unless c.list('', '*').any? { |m| m.name == 'Ruby' }; c.lsub('', '*')
c.select('INBOX'); uid = c.uid_search(['SUBJECT', 'ruby reads']).first
f = c.uid_fetch(uid, ['UID', 'FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE', 'BODYSTRUCTURE']).first
raise 'envelope' unless f.attr['ENVELOPE'].subject == 'ruby reads'; raise 'structure' unless f.attr['BODYSTRUCTURE'].media_type == 'TEXT'
text = c.uid_fetch(uid, 'BODY.PEEK[]').first.attr['BODY[]']; raise 'size' unless text.bytesize == f.attr['RFC822.SIZE']; raise 'text' unless text.include?("\r\n..dots\r\n")
c.uid_store(uid, '+FLAGS', [:Flagged]); c.uid_copy(uid, 'Ruby'); c.append('Ruby', "Subject: x\r\n\r\ny\r\n", [:Seen], Time.now)
raise 'status' unless c.status('Ruby', ['MESSAGES', 'UIDNEXT', 'UNSEEN'])['MESSAGES'] == 2
c.uid_move(uid, 'Ruby'); c.select('Ruby'); c.store(1, '+FLAGS', [:Deleted]); c.expunge; c.noop
Thread.new { sleep 0.5; begin; c.idle_done; rescue; end }; c.idle(5) { |r| }
c.close; c.rename('Ruby', 'Ruby 2'); c.unsubscribe('Ruby'); c.delete('Ruby 2'); c.logout; c.disconnect
c = Net::IMAP.new(host, port: imaps.to_i, ssl: {ca_file: ca}); c.login(user, pass); c.select('INBOX'); c.logout; c.disconnect
p = Net::POP3.new(host, pop3s.to_i); p.enable_ssl(OpenSSL::SSL::VERIFY_PEER, ca); p.start(user, pass); n = p.n_mails; raise 'empty' if n == 0
m = p.mails.last; raise 'pop' unless m.pop.include?("\r\n..dots\r\n"); m.unique_id; p.finish
puts 'ruby done'
'''


def setup():
    need("ruby")


def test_ruby(chain):
    if subprocess.run(["ruby", "-e", "require 'net/imap'; require 'net/pop'; require 'net/smtp'"], capture_output=True).returncode:
        raise Skip("ruby's net-imap, net-pop or net-smtp is not installed")
    chain.send("ruby stays")
    chain.send("ruby reads")
    chain.write("r.rb", SCRIPT)
    has(chain.run(["ruby", "r.rb", chain["MAIL_HOST"], chain["SUBMISSION_PORT"], chain["IMAP_PORT"], chain["IMAPS_PORT"], chain["POP3S_PORT"],
                   chain["USER1"], chain["PASS1"], chain["CA_FILE"], chain.address(1), chain.address(2)]), "ruby done")
    chain.delivered("from ruby", 2)


run(globals())
