/**
 * What SPEC says of each kind of message beside what the registry says: its purpose, what its sender and its receivers MUST
 * do, in the order in which they do it. `make-spec` prints it, numbered; the compiler demands a row for every kind.
 */
import type { KindName } from './kinds.ts'
import { answerOnce, type Obligations } from './obligation.ts'
import { MONEY_OBLIGATIONS } from './obligations-money.ts'

const later = (purpose: string): Obligations => ({
  purpose: `${purpose} Its number is given; version 1 of this implementation accepts no body version of it.`,
  sender: ['MUST NOT send it to a peer that accepts no version of it.'],
  receiver: ['MUST refuse it with UNSUPPORTED_VERSION and the empty list.'],
})

export const OBLIGATIONS: Readonly<Record<KindName, Obligations>> = {
  'offer-request': {
    purpose: 'An anonymous guest asks a payee for an invoice over an amount or a catalogue item.',
    sender: [
      'MUST seal it with a one-time key, which stands in the header as `from`.',
      'MUST use a fresh purchaseToken for each purchase and MUST NOT put anything of the customer into it.',
      'MUST give exactly one of amountMinor and item.',
    ],
    receiver: [
      'MUST refuse an unknown payee with NOT_FOUND, an unpriced item with NOT_FOUND, another currency with CURRENCY_UNSUPPORTED.',
      'MUST answer a repeated purchaseToken with the stored TRANS.',
    ],
  },
  'transaction-details': {
    purpose: "TRANS: the invoice. Sealed by the merchant host, encrypted to the offer's one-time key.",
    sender: [
      'MUST use a fresh txId and nonce, and carry the chain MPP, merchant host, payee.',
      'MUST keep the order before it sends the invoice.',
      'MUST send description, salt and purchaseToken beside the frame, inside the encrypted carrier only.',
    ],
    receiver: [
      'MUST verify the chain to the root, that the payee credential names the sealing host, and that payee, amount and currency are those asked for.',
      'MUST verify that H(salt ‖ description) is the descriptionHash.',
      "MUST NOT pay it after its header's expiresAtMs.",
    ],
  },
  'goods-release': {
    purpose: "What was bought, encrypted to the purchase's one-time key.",
    sender: [
      "MUST release a micropayment's goods only after a verified DT, a macro payment's only after T and the bank's own notice; never on its own approve.",
      'MUST answer a later order-query with it.',
    ],
    receiver: ['MAY ask for it again with an order-query that proves the nonce of the TRANS.'],
  },
  'order-query': {
    purpose: 'Fetches the goods of a paid order under a fresh guest login.',
    sender: ['MUST carry the nonce of the TRANS and a one-time key for the answer.'],
    receiver: ['MUST refuse an unknown order or a wrong nonce with NOT_FOUND, an unpaid one with UNDECIDED.'],
  },
  'request-to-pay': {
    purpose: 'A TRANS sent to an alias that a customer opted in to.',
    sender: ['MUST seal the TRANS as for an offer; its lifetime MAY be longer.', 'MUST resend it until a receipt.'],
    receiver: [
      'MPP and CPP MUST answer with a receipt once it is durable, and take over the resending to the next hop, until the TRANS expires or its key is void.',
      'The data center routes it by alias; the CPP MUST NOT tell anyone whose alias it is.',
      'The customer pays it by a payment-request like any other, or not at all.',
    ],
  },
  'payment-request': {
    purpose: 'PR: the customer tells their CPP to pay a TRANS.',
    sender: [
      'MUST save prId before it sends, and MUST NOT reuse it for another TRANS.',
      "MUST sign the inner frame with the customer's device key and encrypt it to the CPP.",
      'MUST bind the PIN proof to this TRANS and this prId.',
      'MUST name a quote exactly when the account is in another currency than the invoice.',
      "MUST resend the same content until an answer; after the TRANS's expiry MAY ask with payment-query instead.",
    ],
    receiver: [
      'MUST check, in this order: customer, TRANS and chain, TRANS expiry, currency or quote, PIN lock, PIN proof, suspension, TRANS lock, room to wait; each failure is an outcome with its code.',
      'MUST check a quote in this order: given to this customer (QUOTE_UNKNOWN), not used (QUOTE_USED), not expired (QUOTE_EXPIRED), of this amount and these currencies (QUOTE_MISMATCH). MUST take it for used once the request is accepted, whatever becomes of the payment.',
      'MUST count a wrong PIN once for each authentic frame, and lock after maxWrongPins.',
      'MUST refuse a second request for the same TRANS while the first is undecided or confirmed, before any collection.',
      "MUST fix the notice's expiry at admission: the earlier of the TRANS's expiry and now plus the notice lifetime; waiting for a collection counts.",
    ],
  },
  'payment-notice': {
    purpose: 'PN: the CPP guarantees a payment if the payee approves it in time. Forwarded byte for byte.',
    sender: [
      'MUST have admitted the payment (micro) or placed the hold (macro) durably before it sends.',
      'MUST use a fresh random pnId that nothing of the customer can be derived from.',
      'MUST choose the mode by the amount: macro iff amount ≥ M of the currency.',
    ],
    receiver: [
      "The MPP MUST check, in this order: TRANS and chain, that the chain names it, payee, mode, enrolment, a stored outcome, the TRANS lock, the CPP's default, the CPP's credit limit; each failure is its own countersigned rejection.",
      "The MPP MUST lock (payee, txId) until the CPP's signed outcome, never on its own clock.",
      'The merchant MUST check order, amount and currency against its own TRANS, and take one payment for one TRANS.',
    ],
  },
  'payment-decision': {
    purpose: 'The payee approves or rejects a notice.',
    sender: [
      'MUST decide a pnId once.',
      'MUST name the digest of the notice it decides.',
      'MUST resend it until T, DT or an outcome.',
    ],
    receiver: [
      "MUST accept it only from the host that the payee's credential names, for a notice it holds, with that notice's digest.",
    ],
  },
  'countersigned-decision': {
    purpose: "The MPP's countersignature over the payee's decision, or its own rejection.",
    sender: ["MUST nest the merchant's frame byte for byte to approve.", 'MUST resend it until T, DT or an outcome.'],
    receiver: [
      "MUST accept it only from the MPP that the TRANS's chain names; an approve only with a merchant decision sealed by the host of that chain for the same pnId, txId and notice digest.",
      "MUST confirm an approve that arrived before the notice's expiry: the CPP's commit of it is the payment. A late one gets the stored outcome.",
    ],
  },
  'customer-transfer-confirmation': {
    purpose: 'T to the customer: the transfer is booked.',
    sender: ["MUST follow the bank's booked answer.", answerOnce],
    receiver: ['MUST take it for final.'],
  },
  'customer-delayed-transfer-confirmation': {
    purpose: 'DT to the customer: the CPP has paid on their behalf and collects later.',
    sender: ['MUST follow the commit of the confirmation.', answerOnce],
    receiver: ['MUST take it for final.'],
  },
  'customer-payment-outcome': {
    purpose: 'Every end of a payment that is not confirmed, to the customer.',
    sender: ['MUST be final: no later message may contradict it.', answerOnce],
    receiver: ['MUST take it for final; a new attempt takes a new prId.'],
  },
  'transfer-confirmation': {
    purpose: "T to the payee's side: the payee's bank has booked a macro payment.",
    sender: ["MUST follow the bank's booked answer.", answerOnce],
    receiver: [
      "MPP and merchant MUST accept it only from the notice's CPP and with the TRANS's amount.",
      'The MPP MUST forward it byte for byte.',
    ],
  },
  'delayed-transfer-confirmation': {
    purpose: "DT to the payee's side: the CPP owes the MPP from here on.",
    sender: [
      'MUST give it the next pairSeq of its pair (CPP, MPP, currency), without gaps, in the commit that confirms.',
      answerOnce,
    ],
    receiver: [
      "The MPP MUST accept it only from the notice's CPP and with the TRANS's amount, credit the payee exactly that amount once, and keep it by pairSeq.",
      'The MPP MUST forward it byte for byte.',
    ],
  },
  'payment-outcome': {
    purpose: "Every end of a payment that is not confirmed, to the payee's side.",
    sender: ['MUST resend it until a receipt where no decision asked for it.', answerOnce],
    receiver: [
      'MUST free the TRANS lock.',
      'MUST keep an outcome for a pnId not seen yet, and give it to that notice when it comes.',
      'MUST answer with a receipt once durable.',
    ],
  },
  'payment-query': {
    purpose: 'Asks what became of a payment request.',
    sender: [
      "MUST carry the expiry of the request's TRANS.",
      'MUST come from the host that made the request, sealed with its key and naming the customer, or with the device key.',
    ],
    receiver: [
      "MUST refuse what asks for another host's or customer's request with NOT_FOUND.",
      'MUST answer a decided payment with the stored answer, an undecided one with UNDECIDED.',
      'MUST, when nothing is found after transExpiresAtMs, write a refused tombstone: a delayed request can not be admitted later.',
    ],
  },
  'notice-query': {
    purpose:
      'Asks for the end of a payment or of a refund under a key that is in force: what was to be forwarded is sealed with one that has been revoked since.',
    sender: ['MUST NOT forward a frame whose key is revoked: its reader would not believe it. MUST ask instead.'],
    receiver: [
      'MUST refuse a notice that is not of the sender, and a refund that is not of the notice, with NOT_FOUND, one that is not decided yet with UNDECIDED.',
      "MUST answer a decided one with its T, DT or outcome, or the refund's confirmation, sealed with the key in force.",
    ],
  },
  'notice-record': {
    purpose: 'How a payment or a refund of it ended, sealed anew by its CPP.',
    sender: [
      'MUST say what was said before: the same content, or where that is kept no more the same end, sum and time.',
    ],
    receiver: [
      'MUST verify the nested frame as if it had come by itself, that it is of the CPP of the notice, and that it is the end already known.',
      'MUST forward the nested frame to the merchant host, and change nothing else.',
    ],
  },
  'host-registration': {
    purpose: 'A wallet or merchant host shows its credential to the processor that certified it.',
    sender: ['MUST send it at each start, and resend it until a receipt.'],
    receiver: [
      'MUST refuse a chain that it did not sign itself: an MPP with BROKEN_CHAIN, a CPP with ENROLMENT_REFUSED.',
      "MUST know a host that it certified by its own chain alone: another processor's for the same name changes nothing.",
    ],
  },
  'customer-enrolment': {
    purpose: 'A customer joins a CPP: device key, PIN key, account and mandate, encrypted to the CPP.',
    sender: ['MUST make the device key on the device.', 'MUST send pinKey here and nowhere else.'],
    receiver: [
      'MUST refuse a customer id that belongs to another host or device with NAME_TAKEN.',
      "MUST register the mandate at the account's bank and enrol only after its acceptance.",
      'MUST keep pinKey encrypted under a key of its own, and keep no copy of this message.',
      'MUST refuse a mandate that has enrolled another customer with ENROLMENT_REFUSED.',
    ],
  },
  'customer-enrolment-record': {
    purpose: 'The CPP-signed record of an enrolment.',
    sender: [answerOnce],
    receiver: ['MUST verify that it names its own device key.'],
  },
  'pin-change': {
    purpose: 'A customer changes the PIN.',
    sender: [
      'MUST seal it with the device key, and prove the old PIN: HMAC(old pinKey, H("semops/1 pin-change" ‖ 0x00 ‖ new pinKey) ‖ changeId).',
      'MUST NOT send it while a payment of this customer at this CPP is undecided: its proof was made with the old PIN.',
    ],
    receiver: [
      'MUST refuse in this order: an unknown customer (CUSTOMER_UNKNOWN), a locked PIN (PIN_LOCKED), a wrong proof (WRONG_PIN), which counts as a wrong PIN does.',
      'MUST keep the new pinKey as it kept the old one, and forget the old one.',
    ],
  },
  'device-replacement': {
    purpose:
      'A customer whose device is lost brings another one, with an authorization that the CPP gave to the person.',
    sender: [
      'MUST come from the wallet host that the authorization names, sealed with its key, the new device key made on the device.',
      'MUST prove the PIN: HMAC(pinKey, H("semops/1 device-replacement" ‖ 0x00 ‖ deviceKey ‖ authorization) ‖ changeId).',
    ],
    receiver: [
      'MUST refuse in this order: a host not registered here (ENROLMENT_REFUSED), an unknown customer (CUSTOMER_UNKNOWN), an authorization that it did not give, to this host, for this customer, unused and in time (ENROLMENT_REFUSED), a locked PIN (PIN_LOCKED), a wrong proof (WRONG_PIN).',
      'MUST accept nothing sealed by the lost device from the moment it gives the authorization.',
      'MUST keep debt, payments and suspension as they are, sign a new record, and use the authorization up.',
    ],
  },
  'account-closure': {
    purpose: 'A customer closes the account at a CPP.',
    sender: [
      'MUST seal it with the device key, and prove the PIN: HMAC(pinKey, H("semops/1 account-closure" ‖ 0x00 ‖ customer) ‖ closureId).',
      'MUST NOT send it while a payment of this customer at this CPP is undecided.',
      'MUST take the receipt, and nothing else, for the end of the account.',
    ],
    receiver: [
      'MUST refuse in this order: an unknown customer, or another one than its sender (CUSTOMER_UNKNOWN), an account that is closing or closed (CUSTOMER_CLOSED), a locked PIN (PIN_LOCKED), a wrong proof (WRONG_PIN), which counts as a wrong PIN does.',
      'MUST refuse every payment request that comes after it with CUSTOMER_CLOSED, let what is under way end, and then collect what is outstanding.',
      'MUST answer with a receipt once nothing is outstanding, pending or waiting: the account is closed then. A refused collection is repeated like any other, and the account stays closing.',
      'MUST NOT give the id of a closed account to anybody again, not to the same person either, and MUST retire its alias.',
    ],
  },
  'payee-enrolment': {
    purpose: 'A payee joins an MPP.',
    sender: ['MUST come from the host that will carry the payee.'],
    receiver: [
      'MUST refuse a name that another host holds with NAME_TAKEN.',
      'MUST issue the payee credential and register the payee at every data center of its realm.',
    ],
  },
  'payee-enrolment-record': {
    purpose: "The payee's credential.",
    sender: [answerOnce],
    receiver: ['MUST verify that it names this host, payee and account.'],
  },
  'processor-registration': {
    purpose: 'A processor, bank or data center shows its credential to a data center.',
    sender: ['MUST register at every data center of its realm at each start; a data center at its peers.'],
    receiver: [
      'MUST verify the chain to the root, and refuse a lower version than the one held with REGISTRATION_STALE.',
      'MUST keep it over a restart.',
    ],
  },
  'payee-registration': {
    purpose: 'An MPP puts a payee into the directory.',
    sender: ['MUST raise version with each change.'],
    receiver: [
      'MUST verify that the chain leads from the sender to this payee and host; NAME_TAKEN when another MPP holds the name; REGISTRATION_STALE for an older version.',
      'MUST keep retired rows, so that an older registration can not bring them back.',
    ],
  },
  'alias-registration': {
    purpose: 'A CPP puts an alias, chosen by its customer to be shown, into the directory.',
    sender: ["MUST have the customer's consent; the row names no customer."],
    receiver: [
      'MUST refuse an alias that another CPP holds with NAME_TAKEN, an older version with REGISTRATION_STALE.',
    ],
  },
  'payee-lookup': {
    purpose: 'A guest asks where a payee is.',
    sender: [
      'MUST send it under a guest login.',
      'A host of one customer MUST look a payee up for each purchase: an offer without a lookup would say that he was there before.',
    ],
    receiver: ['MUST refuse an unknown or retired payee with NOT_FOUND.'],
  },
  'payee-record': {
    purpose: 'MPP, merchant host and chain of a payee.',
    sender: ['MUST answer from the directory only.'],
    receiver: [
      'MUST verify the chain; the record alone proves nothing.',
      "SHOULD keep the merchant host's key from the chain: a guest cannot ask for it when that host refuses an offer.",
    ],
  },
  'credential-query': {
    purpose: 'Asks for the credential of a processor, bank or merchant host.',
    sender: [
      'MUST ask a data center of its own realm, and show its own chain.',
      "MUST NOT ask for the key of a customer's device or of a wallet host: no directory knows it, and the question would say who pays.",
      'MUST NOT ask, because of what was sent to a guest, for anything but the newest credential of a data center that it knows: whoever writes to the guest could provoke the question and recognise it.',
    ],
    receiver: [
      "MUST answer from its rows, or ask the peer of the id's realm and answer when its record comes; UNKNOWN_DESTINATION otherwise.",
    ],
  },
  'credential-record': {
    purpose: 'The chain of a credential.',
    sender: ['MUST answer from the directory only.'],
    receiver: [
      'MUST verify the chain to the root before it uses the key.',
      'MUST take a record that is sealed with the very key its chain certifies, though the key is unknown: it answers who asks for the new key of a data center.',
    ],
  },
  'revocation-query': {
    purpose: 'Asks for the newest revocation list, and with that whether the one held is still the newest.',
    sender: [
      'MUST ask a data center of its own realm when it starts, when it has been cut off, and at least every revocationPollMs; a data center asks every sibling and every peer realm.',
      'MUST show its own chain: wallet hosts are in no directory.',
    ],
    receiver: [
      'MUST answer with the newest list that it holds, also when haveVersion says that the asker has it: the time of the answer shows how fresh that is.',
      'MUST refuse it with NOT_FOUND when it holds none.',
      'MUST NOT keep anything for the question, nor the chain that it shows.',
    ],
  },
  'revocation-record': {
    purpose: 'The revocation list, signed by the root: the answer to a query, or sent unasked because it is new.',
    sender: [
      'MUST send the bytes that the root signed, unchanged.',
      'MUST, when it takes a newer list from anybody, send it at once to every processor and bank registered with it, its siblings and its peer realms.',
    ],
    receiver: [
      'MUST verify the signature of the root and the networkId, and keep the list only if its version is higher than that of the list it holds: an older or an equal one changes nothing.',
      'MUST keep it before the next frame is judged, and judge by it whatever was waiting for a credential or in a queue.',
      'MUST NOT answer it.',
    ],
  },
  'directory-query': later('A new replica asks a sibling for its rows.'),
  'directory-page': later('A page of a directory.'),
  ...MONEY_OBLIGATIONS,
  'ledger-report-query': later('An observer asks for figures of a ledger.'),
  'ledger-report': later('Figures of a ledger.'),
  receipt: {
    purpose: 'The message of this digest is durable here.',
    sender: ['MUST send it only after the flush of what it speaks of.'],
    receiver: ['MUST take it only from the next store-and-forward hop, and MAY forget the message then.'],
  },
  refusal: {
    purpose: 'The message of this digest is refused, with a code.',
    sender: [
      'MUST NOT answer what it could not authenticate.',
      'MUST store a permanent refusal and repeat it; MUST NOT store a transient one.',
    ],
    receiver: [
      'MUST go on resending after a transient code, and MUST stop after a permanent one.',
      'MUST NOT take any refusal for the end of a payment that its CPP has not decided.',
    ],
  },
  undeliverable: {
    purpose: 'A data center has no route.',
    sender: ['MUST be the data center that looked.'],
    receiver: ['MAY shorten a wait; MUST NOT end a payment because of it.'],
  },
}
