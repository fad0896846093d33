export { freePort, freePorts } from '../../demo/free-port.ts';
