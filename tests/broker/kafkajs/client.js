// kafkajs as a campaign system and as a dialer would use it. `publish TOPIC`: standard input, a key, a tab and JSON a
// line, acknowledged by all replicas. `read TOPIC COUNT`: committed records from the beginning, one JSON a line, until
// COUNT were read. The broker is KAFKA_BOOTSTRAP.
"use strict";

const { Kafka, logLevel } = require("kafkajs");

process.env.KAFKAJS_NO_PARTITIONER_WARNING = "1";
const [command, topic, count] = process.argv.slice(2);
const kafka = new Kafka({
  clientId: "foreign",
  brokers: process.env.KAFKA_BOOTSTRAP.split(","),
  logLevel: logLevel.NOTHING,
  retry: { retries: 20 },
});

async function publish() {
  const messages = [];
  for await (const line of require("node:readline").createInterface({ input: process.stdin })) {
    const tab = line.indexOf("\t");
    messages.push({ key: line.slice(0, tab), value: line.slice(tab + 1) });
  }
  const producer = kafka.producer({ idempotent: true });
  await producer.connect();
  await producer.send({ topic, acks: -1, messages });
  await producer.disconnect();
}

async function read() {
  const consumer = kafka.consumer({ groupId: `${topic}-reader`, readUncommitted: false, maxWaitTimeInMs: 200 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let left = Number(count);
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.run({
      eachMessage: async ({ message }) => {
        if (left > 0) console.log(message.value.toString());
        left -= 1;
        if (left === 0) resolve();
      },
    });
  });
  await consumer.disconnect();
}

({ publish, read })[command]().catch((error) => {
  console.error(error);
  process.exit(1);
});
