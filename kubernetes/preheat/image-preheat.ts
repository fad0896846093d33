import { Type } from 'typebox';
import type { Static } from 'typebox';
import { Compile } from 'typebox/compile';

/** The resource `ImagePreheat` (shoal.dev/v1alpha1); the definition in `charts/shoal/crds` says what it may hold. */
export const PREHEAT_API_VERSION = 'shoal.dev/v1alpha1';
export const PREHEAT_KIND = 'ImagePreheat';

const Text = Type.String();
const Count = Type.Integer({ minimum: 0 });

const Spec = Type.Object({
  images: Type.Array(Text, { minItems: 1, maxItems: 64 }),
  platforms: Type.Optional(Type.Array(Text, { maxItems: 8 })),
  nodeSelector: Type.Optional(Type.Record(Text, Text)),
  concurrency: Type.Integer({ minimum: 1, maximum: 1000, default: 50 }),
  deadlineSeconds: Type.Integer({ minimum: 10, default: 3600 }),
  imagePullSecrets: Type.Optional(Type.Array(Type.Object({ name: Text }), { maxItems: 8 })),
});

const Condition = Type.Object({
  type: Text,
  status: Text,
  observedGeneration: Type.Optional(Count),
  lastTransitionTime: Text,
  reason: Text,
  message: Text,
});
export type Condition = Static<typeof Condition>;

const Status = Type.Object({
  observedGeneration: Type.Optional(Count),
  state: Type.Optional(
    Type.Union([Type.Literal('Warming'), Type.Literal('Complete'), Type.Literal('Failed')]),
  ),
  startTime: Type.Optional(Text),
  completionTime: Type.Optional(Text),
  imagesTotal: Type.Optional(Count),
  nodes: Type.Optional(Type.Object({ selected: Count, warm: Count, failed: Count })),
  images: Type.Optional(
    Type.Array(
      Type.Object({
        image: Text,
        digest: Type.Optional(Text),
        warmNodes: Type.Optional(Count),
        failedNodes: Type.Optional(Count),
        message: Type.Optional(Text),
      }),
    ),
  ),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type PreheatStatus = Static<typeof Status>;

const ImagePreheat = Type.Object({
  metadata: Type.Object({
    namespace: Text,
    name: Text,
    uid: Text,
    resourceVersion: Text,
    generation: Type.Optional(Count),
    deletionTimestamp: Type.Optional(Text),
  }),
  spec: Spec,
  status: Type.Optional(Status),
});
export type ImagePreheat = Static<typeof ImagePreheat>;

const Shape = Compile(ImagePreheat);

/** @returns undefined for what does not keep to the definition, as an older one may have let pass */
export function imagePreheatOf(object: Record<string, unknown>): ImagePreheat | undefined {
  return Shape.Check(object) ? object : undefined;
}

/** Nothing is done for it any more. */
export function isOver({ metadata, status }: ImagePreheat): boolean {
  return metadata.deletionTimestamp !== undefined || (status?.state ?? 'Warming') !== 'Warming';
}
