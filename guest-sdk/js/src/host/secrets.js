export { equals, verifyMac, verifySignature } from 'ringback:plugin/secrets@1.0.0';
